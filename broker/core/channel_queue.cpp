// SPDX-License-Identifier: Apache-2.0
//
// The queue class (conformance section 4).
#include "broker/core/arguments.hpp"
#include "broker/core/channel_impl.hpp"
#include "broker/core/control.hpp"
#include "broker/core/engine.hpp"

namespace harrier::broker {

using protocol::AmqpError;
using protocol::ReplyCode;

const routing::QueueEntry& Channel::existing_queue(std::string_view name) {
  const VhostView& vhost = session_.vhost();
  const routing::QueueEntry* queue = vhost.topology->find_queue(name);
  if (queue == nullptr)
    throw AmqpError(ReplyCode::NotFound, "no " + in_vhost("queue", name, vhost.name));
  refuse_other_owner(*queue);
  return *queue;
}

// A log has no head to take from (C-249, C-485).
void Channel::refuse_stream(const routing::QueueEntry& queue, std::string_view method) const {
  if (read_queue_settings(queue.arguments).type != QueueType::Stream) return;
  throw AmqpError(ReplyCode::NotImplemented,
                  std::string(method) + " not supported by stream queues " +
                      in_vhost("queue", queue.name, session_.vhost().name));
}

void Channel::refuse_other_owner(const routing::QueueEntry& queue) const {
  if (queue.owner == 0 || queue.owner == static_cast<std::uint64_t>(ref_.connection)) return;
  throw AmqpError(ReplyCode::ResourceLocked, locked_text(queue.name, session_.vhost().name));
}

std::string Channel::named_queue(std::string_view name) const {
  if (!name.empty()) return std::string(name);
  if (last_queue_.empty()) throw AmqpError(ReplyCode::NotFound, "no previously declared queue");
  return last_queue_;
}

void Channel::on(const protocol::QueueDeclare& method) {
  const std::string name = without_line_feeds(method.queue);
  if (name == kReplyToName || name.starts_with(kReplyToPrefix)) {
    declare_reply_to(name, method.nowait);
    return;
  }
  if (method.passive) {
    declare_passive(name, method.nowait);
    return;
  }
  const bool durable = method.durable && !method.exclusive;  // C-215
  if (name.starts_with("amq.")) {
    throw AmqpError(ReplyCode::AccessRefused,
                    "queue name '" + name + "' contains reserved prefix 'amq.*'");
  }
  const std::string& vhost = session_.vhost().name;
  Access& access = session_.access();
  // Who may not choose every name is asked about the one that the server chooses, too (C-557).
  const bool named_here = name.empty() && access.restricted();
  const std::string own_name = named_here ? engine().random_name("amq.gen-") : name;
  access.need_queue(Right::Configure, own_name);
  const protocol::Table arguments(method.arguments);
  routing::QueueEntry wanted;
  wanted.name = own_name;
  wanted.durable = durable;
  wanted.auto_delete = method.auto_delete;
  wanted.owner = method.exclusive ? static_cast<std::uint64_t>(ref_.connection) : 0;
  if (const routing::QueueEntry* existing = session_.vhost().topology->find_queue(name);
      existing && !name.empty()) {
    check_redeclaration(*existing, wanted, arguments, vhost);
    answer_declared(name, existing->id, method.nowait,
                    [this, wanted, arguments, nowait = method.nowait] {
                      declare_at_control(wanted, arguments, nowait);
                    });
    return;
  }
  const QueueSettings settings = check_queue_arguments(
      name, vhost, method.durable, method.exclusive, method.auto_delete, arguments);
  if (name.empty() && settings.type != QueueType::Classic) {
    throw AmqpError(ReplyCode::PreconditionFailed, "Cannot declare a server-named queue for type " +
                                                       std::string(module_name(settings.type)));
  }
  if (settings.dead_letter_exchange) {  // C-242
    access.need_queue(Right::Read, own_name);
    access.need_exchange(Right::Write, *settings.dead_letter_exchange);
  }
  declare_at_control(wanted, arguments, method.nowait);
}

bool Channel::may_follow(const protocol::QueueDeclare& method) const {
  const std::string name = without_line_feeds(method.queue);
  if (method.passive || name.empty() || name.starts_with("amq.")) return false;
  if (session_.access().restricted()) return false;
  if (!declares_.takes_more() || declares_.contains(name)) return false;
  if (session_.vhost().topology->find_queue(name) != nullptr) return false;
  try {
    check_queue_arguments(name, session_.vhost().name, method.durable, method.exclusive,
                          method.auto_delete, method.arguments);
  } catch (const AmqpError&) {
    return false;  // refused when its turn comes
  }
  return true;
}

void Channel::declare_at_control(routing::QueueEntry wanted, const protocol::Table& arguments,
                                 bool nowait) {
  if (wanted.owner != 0) session_.own_exclusive();
  wanted.arguments = arguments;
  send_declare(declares_.add(std::move(wanted), nowait));
}

ReplyTo Channel::await(OutstandingDeclares::Declare& declare) {
  const ReplyTo to = session_.park_followed([this](Reply& reply) { on_declare_reply(reply); });
  declare.token = to.token;
  return to;
}

void Channel::send_declare(OutstandingDeclares::Declare& declare) {
  const ReplyTo to = await(declare);
  DeclareQueue change;
  change.queue = declare.wanted;
  change.preferred = engine().self();
  engine().send(kControlShard, ControlRequest{to, session_.vhost().name, std::move(change)});
}

// A queue that the request has made is empty: only one that was there already has to be asked.
void Channel::on_declare_reply(Reply& reply) {
  OutstandingDeclares::Declare& declare = declares_.of_token(reply.to.token);
  if (std::holds_alternative<QueueMissing>(reply.result)) {  // it went while we asked
    send_declare(declare);
    return;
  }
  if (auto* declared = std::get_if<QueueDeclared>(&reply.result)) {
    if (declare.wanted.name.empty()) declare.wanted.name = std::move(declared->name);
    if (!declared->created) {
      const ReplyTo to = await(declare);
      engine().send_to_queue(declared->queue, CountQueue{declared->queue, to});
      return;  // perhaps answered within the call
    }
    declares_.answer(declare, Counted{});
  } else if (auto* refused = std::get_if<Refused>(&reply.result)) {
    declares_.answer(declare, std::move(*refused));
  } else {
    declares_.answer(declare, std::get<Counted>(reply.result));
  }
  give_declared();
}

// Answers in order. A refusal closes the channel once those behind it are answered too: they may
// have been carried out, and who reads the close can rely on what it sees.
void Channel::give_declared() {
  while (!declares_.empty() && declares_.front().answered()) {
    OutstandingDeclares::Declare& declare = declares_.front();
    if (auto* refused = std::get_if<Refused>(&declare.answer)) {
      if (session_.parked()) return;
      AmqpError error(refused->code, std::move(refused->explanation));
      declares_.clear();
      throw error;
    }
    last_queue_ = declare.wanted.name;
    if (!declare.nowait) send_declare_ok(last_queue_, std::get<Counted>(declare.answer));
    declares_.pop();
  }
}

void Channel::declare_passive(const std::string& name, bool nowait) {
  session_.access().need_some("queue", name);
  const QueueId id = existing_queue(name).id;
  answer_declared(name, id, nowait, [this, name] {
    throw AmqpError(ReplyCode::NotFound, "no " + in_vhost("queue", name, session_.vhost().name));
  });
}

// Counts come from the queue's own shard, so that they include all that this channel did before
// (C-213, C-364).
void Channel::answer_declared(const std::string& name, QueueId queue, bool nowait,
                              std::function<void()> if_missing) {
  const ReplyTo to = ask([this, name, nowait, if_missing = std::move(if_missing)](Reply& reply) {
    if (std::holds_alternative<QueueMissing>(reply.result)) {  // it went while we asked
      if_missing();
      return;
    }
    last_queue_ = name;
    if (!nowait) send_declare_ok(name, std::get<Counted>(reply.result));
  });
  engine().send_to_queue(queue, CountQueue{queue, to});
}

void Channel::send_declare_ok(const std::string& name, const Counted& counted) {
  protocol::QueueDeclareOk ok;
  ok.queue = name;
  ok.message_count = counted.messages;
  ok.consumer_count = counted.consumers;
  send(ok);
}

void Channel::on(const protocol::QueueBind& method) {
  bind_queue(method.queue, method.exchange, method.routing_key, method.arguments, false,
             method.nowait);
}

void Channel::on(const protocol::QueueUnbind& method) {
  bind_queue(method.queue, method.exchange, method.routing_key, method.arguments, true, false);
}

void Channel::bind_queue(std::string_view queue, std::string_view exchange,
                         std::string_view routing_key, protocol::TableView arguments, bool unbind,
                         bool nowait) {
  Bind change;
  change.binding.destination = named_queue(without_line_feeds(queue));
  change.binding.source = without_line_feeds(exchange);
  // Neither queue nor key given: the last declared queue's name is both (C-246).
  change.binding.routing_key =
      queue.empty() && routing_key.empty() ? last_queue_ : std::string(routing_key);
  change.binding.arguments = protocol::Table(arguments);
  change.connection = ref_.connection;
  change.unbind = unbind;
  session_.access().need_queue(Right::Write, change.binding.destination);
  if (change.binding.source.empty()) {
    throw AmqpError(ReplyCode::AccessRefused, "operation not permitted on the default exchange");
  }
  need_source(change.binding);
  change_definitions(std::move(change), [this, unbind, nowait](Reply&) {
    if (nowait) return;
    if (unbind) {
      send(protocol::QueueUnbindOk{});
    } else {
      send(protocol::QueueBindOk{});
    }
  });
}

void Channel::on(const protocol::QueuePurge& method) {
  const std::string name = named_queue(method.queue);
  session_.access().need_queue(Right::Read, name);
  const routing::QueueEntry& queue = existing_queue(name);
  refuse_stream(queue, "queue.purge");
  const ReplyTo to = ask([this, name, nowait = method.nowait](Reply& reply) {
    const auto* counted = std::get_if<Counted>(&reply.result);
    if (counted == nullptr) {
      throw AmqpError(ReplyCode::NotFound, "no " + in_vhost("queue", name, session_.vhost().name));
    }
    if (nowait) return;
    protocol::QueuePurgeOk ok;
    ok.message_count = counted->messages;
    send(ok);
  });
  engine().send_to_queue(queue.id, Purge{queue.id, to});
}

void Channel::on(const protocol::QueueDelete& method) {
  DeleteQueue change;
  change.name = named_queue(without_line_feeds(method.queue));
  change.connection = ref_.connection;
  change.if_unused = method.if_unused;
  change.if_empty = method.if_empty;
  session_.access().need_queue(Right::Configure, change.name);
  if (const routing::QueueEntry* queue = session_.vhost().topology->find_queue(change.name);
      queue != nullptr && (method.if_unused || method.if_empty) &&
      read_queue_settings(queue->arguments).type == QueueType::Quorum) {  // C-254
    throw AmqpError(ReplyCode::NotImplemented,
                    "cannot delete " + in_vhost("queue", change.name, session_.vhost().name) +
                        " of type quorum with if-" + (method.if_empty ? "empty" : "unused") +
                        "=true");
  }
  change_definitions(std::move(change), [this, nowait = method.nowait](Reply& reply) {
    if (nowait) return;
    protocol::QueueDeleteOk ok;
    ok.message_count = std::get<Counted>(reply.result).messages;
    send(ok);
  });
}

}  // namespace harrier::broker
