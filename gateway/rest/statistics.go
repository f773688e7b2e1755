package rest

// countDevices answers GET /statistics/devices.
func (s *Server) countDevices(c *call) (reply, error) {
	n, err := s.Presence.Statistics(c.ctx())
	return reply{body: struct {
		Total    int `json:"totalDeviceCount"`
		Enabled  int `json:"enabledDeviceCount"`
		Disabled int `json:"disabledDeviceCount"`
	}{n.Devices, n.Enabled, n.Disabled}}, err
}

// countConnected answers GET /statistics/service.
func (s *Server) countConnected(c *call) (reply, error) {
	n, err := s.Presence.Statistics(c.ctx())
	return reply{body: struct {
		Connected int `json:"connectedDeviceCount"`
	}{n.Connected}}, err
}
