// SPDX-License-Identifier: Apache-2.0
//
// amqp:// and amqps:// URIs:
//
//   uri       = ( "amqp" / "amqps" ) "://" [ user [ ":" password ] "@" ] [ host [ ":" port ] ]
//               [ "/" vhost ] [ "?" key "=" value *( "&" key "=" value ) ]
//   host      = name / IPv4 address / "[" IPv6 address "]"
//
// User, password, host name, vhost, keys and values may hold percent-encoded bytes. The vhost is
// one segment: "/" inside it is written %2f. Absent and empty are different: no slash means "the
// default virtual host", a slash alone means the virtual host with the empty name.
#pragma once

#include "protocol/uri.hpp"
