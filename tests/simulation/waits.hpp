// SPDX-License-Identifier: Apache-2.0
//
// Waits: the ledger of a run about messages that wait: an exchange delays them on their way into
// one queue, and what comes back to that waits for a retry. It knows what clients published, were
// confirmed, were given and said. The rules: nothing comes before its time or after its end, none
// is with two at once, and what was confirmed is there until somebody has acknowledged it, or until
// it was cancelled while it waited: from the confirm of the cancel on that is for good, if the
// message was not due before. One per run; a rule that does not hold is a Violation.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "broker/core/info.hpp"
#include "tests/simulation/dice.hpp"

namespace harrier::simulation {

inline constexpr const char* kDelays = "waits.later";  // an exchange that delays
inline constexpr const char* kWaits = "waits";         // the queue behind it
inline constexpr std::int64_t kRetryMs = 40;           // at each return
inline constexpr std::int64_t kDelayMaxMs = 300;

using MessageNumber = std::uint64_t;
using ChannelSerial = std::uint64_t;  // 0: nobody; never used twice

class Waits {
 public:
  ChannelSerial new_channel() { return ++last_channel_; }
  void channel_over(ChannelSerial channel, std::int64_t now);
  // A delay of 0: it is routed at once.
  MessageNumber publish(bool persistent, std::int64_t delay_ms, std::int64_t now);
  void confirmed(MessageNumber message);
  // One channel has published them, and now cancels them; later it hears that this is done.
  void cancel_asked(const std::vector<MessageNumber>& messages);
  void cancelled(const std::vector<MessageNumber>& messages, std::int64_t now);
  // What is confirmed has been in the store.
  bool is_stored(MessageNumber message) const {
    return messages_[message].persistent || messages_[message].delayed;
  }
  bool persistent(MessageNumber message) const { return messages_[message].persistent; }
  void delivered(MessageNumber message, bool redelivered, ChannelSerial channel, bool no_ack,
                 std::int64_t now);
  void acked(MessageNumber message, ChannelSerial channel);
  void returned(MessageNumber message, std::int64_t now);

  // Everything has arrived, and nothing is left to be done at this time.
  void check_at_rest(const std::vector<broker::QueueInfo>& infos, std::int64_t now);
  void crashed(std::int64_t now);
  void check_at_end() const;
  std::string summary() const;

 private:
  enum class End : std::uint8_t { None, Doubtful, Certain };
  struct Message {
    bool persistent = false;
    bool delayed = false;
    std::int64_t not_before = 0;
    bool confirmed = false;
    bool seen = false;
    bool survived = false;  // a crash, and may have been delivered before it
    bool may_be_lost = false;
    bool cancel_asked = false;
    bool may_be_cancelled = false;  // it is not known to have escaped
    ChannelSerial holder = 0;
    ChannelSerial settler = 0;
    End end = End::None;
  };
  bool is_over(ChannelSerial channel) const { return channel == 0 || over_.contains(channel); }

  std::vector<Message> messages_;
  std::set<ChannelSerial> over_;
  ChannelSerial last_channel_ = 0;
  std::uint64_t confirms_ = 0;
  std::uint64_t deliveries_ = 0;
  std::uint64_t returns_ = 0;
  std::uint64_t cancels_ = 0;  // certain ones
};

}  // namespace harrier::simulation
