// SPDX-License-Identifier: Apache-2.0
//
// StreamPages: stretches of a stream that were fetched from the store for readers that are behind
// what is in memory anyway, shared by all of them. A value inside its stream. It holds as many
// bytes as it is allowed and gives up first what was not used for the longest time; a page that
// comes later than wanted does no harm. The fetches that are open are here, too.
#pragma once

#include <cstdint>
#include <list>
#include <map>
#include <optional>
#include <vector>

#include "broker/core/backlog.hpp"
#include "broker/core/ids.hpp"
#include "persistence/message_store.hpp"

namespace harrier::broker {

// A stretch of a stream that somebody has in memory: its first message at the asked position or
// above it, if there is one before `end`.
struct StreamStretch {
  const protocol::MessagePtr* message = nullptr;
  Seq seq = 0;
  Millis enqueued_ms = 0;
  Seq end = 0;  // without a message: where to look on
};

// What a fetch was for.
struct StreamFetch {
  enum class Kind : std::uint8_t {
    Page,
    Probe,    // one message, for its time
    Measure,  // for the sizes of old messages
  };
  Kind kind = Kind::Page;
  Seq from = 0;
  Seq end = 0;                       // the answer tells of all below that, unless it is cut
  std::vector<std::uint32_t> slots;  // readers that wait for it
};

class StreamPages {
 public:
  // At a time: enough to keep the store busy, and a bound on what is on its way.
  static constexpr std::size_t kOpenMax = 8;

  std::optional<StreamStretch> find(Seq seq);

  bool may_open() const { return open_.size() < kOpenMax; }
  // That reader waits for what another has asked for, if anybody has.
  bool join(StreamFetch::Kind kind, Seq from, std::uint32_t slot);
  std::uint64_t open(StreamFetch fetch);  // its token
  std::optional<StreamFetch> close(std::uint64_t token);
  bool is_measuring() const;

  void keep(Seq from, Seq end, std::vector<persistence::StoredMessage> messages,
            std::uint64_t bytes_max);
  void drop_below(Seq seq);
  void shrink(std::uint64_t bytes_max);
  std::uint64_t bytes() const { return bytes_; }  // of memory

 private:
  struct Page {
    Seq from = 0;
    Seq end = 0;
    std::uint64_t bytes = 0;
    std::vector<persistence::StoredMessage> messages;
  };
  void drop(std::list<Page>::iterator page);

  std::list<Page> pages_;  // the last used one in front
  std::uint64_t bytes_ = 0;
  std::map<std::uint64_t, StreamFetch> open_;  // by token
  std::uint64_t last_token_ = 0;
};

}  // namespace harrier::broker
