"""Stands in for DNS: RESOLVE holds names and the address that they all lead to,
such as "a.example b.example 127.1.2.3". Python loads it before the SDK, which
stays as it is."""

import os
import socket

*_names, _address = os.environ.get("RESOLVE", "").split(" ")
_getaddrinfo = socket.getaddrinfo


def _resolve(host, *args, **kwargs):
    return _getaddrinfo(_address if host in _names else host, *args, **kwargs)


socket.getaddrinfo = _resolve
