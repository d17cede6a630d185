// SPDX-License-Identifier: Apache-2.0
//
// Link: what a shard wants of whatever carries a session's bytes: a socket, in the broker. Owned by
// the shard, used on its thread only. I/O failure is the link's business: it tells its session.
#pragma once

#include "broker/core/ids.hpp"

namespace harrier::broker {

class Link {
 public:
  virtual ~Link() = default;
  virtual ConnectionId id() const = 0;
  virtual void start() = 0;
  // Writes what the session has to say, takes up reading again where it stopped, and closes when
  // the session is done. Called at the end of a turn, for sessions that have changed.
  virtual void flush() = 0;
};

}  // namespace harrier::broker
