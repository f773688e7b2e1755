package backend

// The JSON schemas of requests and answers, for nats micro info. They have no
// line breaks: NATS carries them as text. docs/asyncapi.yaml says the same at
// more length, and test/docs compares the two.
const (
	emptySchema = `{"type":"object"}`
	listSchema  = `{"type":"object","properties":{"after":{"type":"string"},"top":{"type":"integer","description":"1 to 1000, which is also what anything else means"}},"additionalProperties":false}`
	itemsSchema = `{"type":"object","required":["items"],"properties":{"items":{"type":"array","items":` + identitySchema + `},"next":{"type":"string","description":"for the after of the next request; missing at the end"}}}`

	identitySchema    = `{"type":"object","description":"a device or module object as IoT Hub prints it","required":["deviceId","generationId","etag","authentication"],` + identityFields + `"sas","selfSigned","certificateAuthority","none"]}}}}}`
	newIdentitySchema = `{"type":"object","description":"a device or module object as IoT Hub prints it; header If-Match: an etag or *, for one that is there. Keys that are missing are made",` + identityFields + `"sas","selfSigned","certificateAuthority","none"]}}}}}`

	// identityFields ends in the enumeration of authentication types.
	identityFields = `"properties":{"deviceId":{"type":"string"},"moduleId":{"type":"string"},"generationId":{"type":"string"},"etag":{"type":"string"},` +
		`"managedBy":{"type":["string","null"]},"status":{"enum":["enabled","disabled"]},"statusReason":{"type":["string","null"]},"statusUpdatedTime":{"type":"string"},` +
		`"capabilities":{"type":"object","properties":{"iotEdge":{"type":"boolean"}}},` +
		`"deviceScope":{"type":["string","null"]},"parentScopes":{"type":["array","null"],"items":{"type":"string"},"maxItems":1},` +
		`"authentication":{"type":"object","properties":{` +
		`"symmetricKey":{"type":"object","properties":{"primaryKey":{"type":["string","null"]},"secondaryKey":{"type":["string","null"]}}},` +
		`"x509Thumbprint":{"type":"object","properties":{"primaryThumbprint":{"type":["string","null"]},"secondaryThumbprint":{"type":["string","null"]}}},` +
		`"type":{"enum":[`

	authoritySchema    = `{"type":"object","description":"a certificate resource as IoT Hub prints it","required":["name","etag","properties"],` + authorityFields + `"required":["subject","expiry","thumbprint","isVerified","created","updated","certificate"]}}}`
	newAuthoritySchema = `{"type":"object","description":"header If-Match: an etag or *, to replace one that is there","required":["properties"],` + authorityFields + `"required":["certificate"]}}}`
	authoritiesSchema  = `{"type":"object","required":["value"],"properties":{"value":{"type":"array","items":` + authoritySchema + `},"next":{"type":"string","description":"for the after of the next request; missing at the end"}}}`
	proofSchema        = `{"type":"object","required":["certificate"],"properties":{"certificate":{"type":"string","description":"for the verification code, signed by the authority: PEM, or DER in base64"}},"additionalProperties":false}`

	// authorityFields ends before what is required of the inner properties.
	authorityFields = `"properties":{"name":{"type":"string"},"etag":{"type":"string"},"properties":{"type":"object","properties":{` +
		`"subject":{"type":"string"},"expiry":{"type":"string"},"thumbprint":{"type":"string"},"isVerified":{"type":"boolean"},` +
		`"created":{"type":"string"},"updated":{"type":"string"},"certificate":{"type":"string","description":"PEM, or DER in base64"},` +
		`"verificationCode":{"type":"string"}},`

	purgedSchema = `{"type":"object","required":["deviceId","totalMessagesPurged"],"properties":{"deviceId":{"type":"string"},"totalMessagesPurged":{"type":"integer"}}}`

	entriesSchema = `"entries":{"type":"array","items":{"type":"object","required":["time","what","errorCode","errorName","message","hint","count"],"properties":{"time":{"type":"string"},"what":{"enum":["connectRefused","connectionClosed","subscribeRefused","twinRefused","methodFailed","c2dDropped","willLost","duplicateId","renewalRefused","tokenExpired","throttled","configurationFailed"]},"errorCode":{"type":"integer"},"errorName":{"type":"string"},"message":{"type":"string"},"hint":{"type":"string"},"deviceId":{"type":"string"},"moduleId":{"type":"string"},"claimed":{"type":"string"},"remote":{"type":"string"},"node":{"type":"string"},"count":{"type":"integer"},"until":{"type":"string"}}}}`
	whySchema     = `{"type":"object","required":["deviceId","registered","entries"],"properties":{"deviceId":{"type":"string"},"moduleId":{"type":"string"},"registered":{"type":"boolean"},"status":{"enum":["enabled","disabled"]},"statusReason":{"type":"string"},` +
		`"connection":{"type":"object","required":["connected","node","remote","since"],"properties":{"connected":{"type":"boolean"},"node":{"type":"string"},"remote":{"type":"string"},"clientAgent":{"type":"string"},"since":{"type":"string"},"ended":{"type":"string"},"reason":{"type":"string"},"errorCode":{"type":"integer"}}},` + entriesSchema + `}}`
	whyAddressSchema = `{"type":"object","required":["address","entries"],"properties":{"address":{"type":"string"},` + entriesSchema + `}}`
)
