// SPDX-License-Identifier: Apache-2.0
//
// Client: a small model of an AMQP client on one simulated connection. It keeps what a client knows
// - channels, consumers, what it holds, what waits for a confirm - checks everything the broker
// says against it, and reports to the ledger. One synchronous request is out at a time; publishes
// and settlements are sent meanwhile. What it does is in actions*.cpp, what it hears in client.cpp.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "protocol/codec.hpp"
#include "tests/simulation/ledger.hpp"
#include "tests/simulation/world.hpp"

namespace harrier::simulation {

class Client {
 public:
  Client(World& world, Ledger& ledger, Dice& dice);

  // Takes up to `size` bytes that have arrived; true if there were any.
  bool read(std::size_t size);
  void act();  // one random action
  bool gone() const { return state_ == State::Gone; }
  bool idle() const { return state_ == State::Running && !request_; }

  void declare_shared();
  // Commits many publishes at once; false if it first has to become able to.
  bool commit_many();
  void open_drain() { open_channel(); }
  // Consumes the next queue that exists, without acknowledgements; false if there is none.
  bool drain_next(QueueNumber& next);
  void close();
  void cut();
  void check_at_rest(const std::vector<broker::QueueInfo>& infos) const;
  void rested() { lowest_since_rest_.clear(); }

 private:
  enum class State : std::uint8_t { Connecting, Running, Closing, Gone };
  struct Consumer {
    QueueNumber queue = 0;
    bool no_ack = false;
    bool started = false;  // consume-ok has come
    bool leaving = false;  // its cancellation is on its way
    std::uint32_t prefetch = 0;
    std::uint32_t held = 0;
    // By publishing channel and level.
    std::map<std::pair<ChannelSerial, unsigned>, std::uint64_t> last_fresh;
  };
  struct Held {
    Copy* copy = nullptr;
    std::string consumer;  // empty: from basic.get
    bool in_transaction = false;
    bool requeue = false;  // what the transaction will do
  };
  struct Content {
    std::function<void(std::uint64_t message)> done;
    std::uint64_t size = 0;
    bool header_seen = false;
    Bytes body = {};
  };
  struct Channel {
    std::uint16_t number = 0;
    ChannelSerial serial = 0;
    bool open = false;
    bool closing = false;
    bool recovering = false;  // what arrives now has been taken back already
    bool may_fail = false;    // an error was provoked
    bool confirms = false;
    bool transactional = false;
    std::uint64_t published = 0;
    std::map<std::uint64_t, std::uint64_t> unconfirmed;  // sequence -> message
    std::vector<std::uint64_t> transaction;              // messages
    std::map<std::uint64_t, Held> held;                  // by delivery tag
    std::uint64_t last_tag = 0;
    std::map<std::string, Consumer> consumers;
    std::uint32_t next_prefetch = 0;
    std::uint32_t global_limit = 0;  // never more than this
    std::uint32_t global_now = 0;    // this many must be possible
    std::uint32_t outstanding = 0;   // held from consumers
    std::optional<Content> content;
    // What arrives goes back, and somebody else may have it by now.
    bool gives_back() const { return closing || recovering; }
    bool usable() const { return open && !closing && !may_fail; }
    bool clean() const { return usable() && held.empty() && consumers.empty() && !content; }
  };
  struct Request {
    std::uint16_t channel = 0;
    std::vector<protocol::MethodId> answers;
    std::function<void(const protocol::Method&)> done;
    std::size_t settlements = 0;  // sent before it
  };

  // client.cpp
  void on_frame(const protocol::Frame& frame);
  void on_method(std::uint16_t number, const protocol::Method& method);
  bool on_answer(std::uint16_t number, const protocol::Method& method);
  void on_connection_method(const protocol::Method& method);
  void on_deliver(Channel& channel, const protocol::BasicDeliver& method);
  void on_confirm(Channel& channel, std::uint64_t tag, bool multiple);
  void on_channel_close(Channel& channel, const protocol::ChannelClose& method);
  void on_content(Channel& channel, const protocol::Frame& frame);
  void check_level(std::uint64_t message, QueueNumber queue, bool redelivered);
  void hold(Channel& channel, std::uint64_t tag, Held held);
  void drop_hold(Channel& channel, std::uint64_t tag);
  void confirmed(std::uint64_t message);
  void channel_over(std::uint16_t number);
  void everything_over();
  template <class M>
  void send(std::uint16_t channel, const M& method);
  template <class M>
  void ask(std::uint16_t channel, const M& method, std::vector<protocol::MethodId> answers,
           std::function<void(const protocol::Method&)> done);

  // actions.cpp
  Channel* pick_channel(const std::function<bool(const Channel&)>& fits);
  void ask_something();
  void open_channel();
  void close_channel();
  void publish(Channel& channel);
  void publish_again(Channel& channel, std::uint64_t message);
  void send_content(std::uint16_t channel, std::uint64_t message);
  void settle(Channel& channel);
  void finish_settlement(Channel& channel, Held held, bool requeue);
  void consume(Channel& channel);
  void start_consumer(Channel& channel, QueueNumber queue, bool no_ack, bool exclusive);
  void cancel(Channel& channel);
  void get(Channel& channel);
  void set_qos(Channel& channel);
  void recover(Channel& channel);
  void select_mode(Channel& channel);
  void end_transaction(Channel& channel);
  void commit(Channel& channel);
  void provoke(Channel& channel);
  unsigned pick_priority_max();
  QueueNumber pick_queue(const std::function<bool(QueueNumber)>& fits);
  bool usable_queue(QueueNumber queue) const;

  // actions_queues.cpp
  void purge(Channel& channel);
  void declare_exclusive(Channel& channel);
  void declare_fresh(Channel& channel);
  void change_volatile(Channel& channel);
  void change_bindings(Channel& channel);

  World& world_;
  Ledger& ledger_;
  Dice& dice_;
  LinkPtr link_;
  Bytes inbox_;
  State state_ = State::Connecting;
  std::map<std::uint16_t, Channel> channels_;
  std::optional<Request> request_;
  std::vector<std::pair<Copy*, ChannelSerial>> settlements_;  // in doubt, in the order sent
  std::vector<QueueNumber> own_queues_;
  std::map<QueueNumber, unsigned> lowest_since_rest_;  // level that was delivered
  unsigned last_consumer_ = 0;
};

template <class M>
void Client::send(std::uint16_t channel, const M& method) {
  const std::size_t at = link_->to_broker.size();
  link_->to_broker.resize(at + protocol::frame_size(method));
  protocol::encode_frame(channel, method, link_->to_broker.data() + at);
}

template <class M>
void Client::ask(std::uint16_t channel, const M& method, std::vector<protocol::MethodId> answers,
                 std::function<void(const protocol::Method&)> done) {
  request_ = Request{channel, std::move(answers), std::move(done), settlements_.size()};
  send(channel, method);
}

}  // namespace harrier::simulation
