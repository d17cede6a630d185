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

namespace {

protocol::MethodId method_of(OutstandingChanges::Kind kind) {
  switch (kind) {
    case OutstandingChanges::Kind::Declare:
      return protocol::QueueDeclare::kId;
    case OutstandingChanges::Kind::Bind:
      return protocol::QueueBind::kId;
    case OutstandingChanges::Kind::Delete:
      return protocol::QueueDelete::kId;
  }
  return {};
}

protocol::Table arguments_of(const protocol::QueueDeclare& method, std::string_view name,
                             const VhostView& vhost) {
  return with_default_type(vhost.profile->default_queue_type, !name.empty(), method.durable,
                           method.exclusive, method.auto_delete, method.arguments);
}

}  // namespace

const routing::QueueEntry& Channel::existing_queue(std::string_view name) {
  const routing::QueueEntry& queue = known_queue(name);
  if (queue.hidden)
    throw AmqpError(ReplyCode::AccessRefused, hidden_text(queue.name, session_.vhost().name));
  return queue;
}

const routing::QueueEntry& Channel::known_queue(std::string_view name) {
  const VhostView& vhost = session_.vhost();
  const routing::QueueEntry* queue = vhost.topology->find_queue(name);
  if (queue == nullptr)
    throw AmqpError(ReplyCode::NotFound, "no " + in_vhost("queue", name, vhost.name));
  refuse_other_owner(*queue);
  return *queue;
}

// A log has no head to take from (C-249, C-485).
void Channel::refuse_stream(const routing::QueueEntry& queue, std::string_view method) const {
  if (!is_stream(queue)) return;
  throw AmqpError(ReplyCode::NotImplemented,
                  std::string(method) + " not supported by stream queues " +
                      in_vhost("queue", queue.name, session_.vhost().name));
}

bool Channel::is_other_owners(const routing::QueueEntry& queue) const {
  return queue.owner != 0 && queue.owner != static_cast<std::uint64_t>(ref_.connection);
}

void Channel::refuse_other_owner(const routing::QueueEntry& queue) const {
  if (is_other_owners(queue))
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
  const protocol::Table arguments = arguments_of(method, name, session_.vhost());
  routing::QueueEntry wanted;
  wanted.name = own_name;
  wanted.durable = durable;
  wanted.auto_delete = method.auto_delete;
  wanted.owner = method.exclusive ? static_cast<std::uint64_t>(ref_.connection) : 0;
  if (const routing::QueueEntry* existing = session_.vhost().topology->find_queue(name);
      existing && !name.empty()) {
    try {
      check_redeclaration(*existing, wanted, arguments, vhost);
    } catch (const AmqpError& error) {
      if (error.code() != ReplyCode::PreconditionFailed) throw;
      wanted.arguments = arguments;
      declare_otherwise(std::move(wanted), method.nowait);
      return;
    }
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

// The queue is there and differs: the control shard knows whether its policy lets it adopt that.
void Channel::declare_otherwise(routing::QueueEntry wanted, bool nowait) {
  DeclareQueue request;
  request.preferred = engine().self();
  try {
    const QueueSettings settings =
        check_queue_arguments(wanted.name, session_.vhost().name, wanted.durable, wanted.owner != 0,
                              wanted.auto_delete, wanted.arguments);
    if (settings.dead_letter_exchange) {  // C-242
      session_.access().need_queue(Right::Read, wanted.name);
      session_.access().need_exchange(Right::Write, *settings.dead_letter_exchange);
    }
  } catch (const AmqpError& error) {
    request.unfit = Refused{error.code(), error.explanation()};
  }
  request.queue = wanted;
  change_definitions(std::move(request), [this, wanted = std::move(wanted), nowait](Reply& reply) {
    const QueueId queue = std::get<QueueDeclared>(reply.result).queue;
    answer_declared(wanted.name, queue, nowait, [this, wanted, nowait] {
      declare_at_control(wanted, wanted.arguments, nowait);
    });
  });
}

bool Channel::may_follow(const protocol::QueueDeclare& method) const {
  const std::string name = without_line_feeds(method.queue);
  if (method.passive || name.empty() || name.starts_with("amq.")) return false;
  if (session_.access().restricted()) return false;
  if (!changes_.takes_more() || changes_.declared(name) != nullptr) return false;
  if (session_.vhost().topology->find_queue(name) != nullptr) return false;
  try {
    check_queue_arguments(name, session_.vhost().name, method.durable, method.exclusive,
                          method.auto_delete, arguments_of(method, name, session_.vhost()));
  } catch (const AmqpError&) {
    return false;  // refused when its turn comes
  }
  return true;
}

// "" is the queue that was declared last, and that may be one whose answer is still to come.
bool Channel::may_follow(const protocol::QueueBind& method) const {
  const bool named = !without_line_feeds(method.queue).empty();
  if (!named && (changes_.declares_any() || last_queue_.empty())) return false;
  if (!changes_.takes_more() || session_.access().restricted()) return false;
  return cannot_fail(binding_of(method).binding);
}

bool Channel::may_follow(const protocol::QueueDelete& method) const {
  if (!changes_.takes_more() || method.queue.empty()) return false;
  if (session_.access().restricted()) return false;
  DeleteQueue deletion;
  deletion.name = without_line_feeds(method.queue);
  deletion.if_unused = method.if_unused;
  deletion.if_empty = method.if_empty;
  return cannot_fail(deletion);
}

// The control shard makes bindings at once and in order, but a deletion only when the queue's shard
// has agreed, and that may take an exchange with it.
bool Channel::cannot_fail(const routing::Binding& binding) const {
  const routing::Topology& topology = *session_.vhost().topology;
  const routing::Exchange* source = topology.find_exchange(binding.source);
  const routing::QueueEntry* queue = changes_.declared(binding.destination);
  if (queue == nullptr) queue = topology.find_queue(binding.destination);
  if (source == nullptr || queue == nullptr || changes_.deletes_any()) return false;
  if (binding.source.empty() || is_other_owners(*queue) || queue->hidden) return false;
  try {
    routing::check_binding(*source, binding, queue);
  } catch (const AmqpError&) {
    return false;
  }
  return true;
}

bool Channel::cannot_fail(const DeleteQueue& deletion) const {
  if (deletion.if_unused || deletion.if_empty) return false;
  if (changes_.declared(deletion.name) != nullptr || changes_.deletes(deletion.name)) return false;
  const routing::QueueEntry* queue = session_.vhost().topology->find_queue(deletion.name);
  return queue != nullptr && !is_other_owners(*queue) && !queue->hidden;
}

void Channel::declare_at_control(routing::QueueEntry wanted, const protocol::Table& arguments,
                                 bool nowait) {
  if (wanted.owner != 0) session_.own_exclusive();
  wanted.arguments = arguments;
  send_declare(changes_.add(OutstandingChanges::Kind::Declare, std::move(wanted), nowait));
}

ReplyTo Channel::await(OutstandingChanges::Change& change) {
  const ReplyTo to = session_.park_followed([this](Reply& reply) { on_change_reply(reply); });
  change.token = to.token;
  return to;
}

void Channel::send_change(OutstandingChanges::Change& change,
                          decltype(ControlRequest::change) request) {
  const ReplyTo to = await(change);
  engine().send(kControlShard, ControlRequest{to, session_.vhost().name, std::move(request)});
}

void Channel::send_declare(OutstandingChanges::Change& declare) {
  DeclareQueue request;
  request.queue = declare.queue;
  request.preferred = engine().self();
  send_change(declare, std::move(request));
}

// A queue that the request has made is empty: only one that was there already has to be asked.
void Channel::on_change_reply(Reply& reply) {
  OutstandingChanges::Change& change = changes_.of_token(reply.to.token);
  if (std::holds_alternative<QueueMissing>(reply.result)) {  // it went while we asked
    send_declare(change);
    return;
  }
  if (auto* declared = std::get_if<QueueDeclared>(&reply.result)) {
    if (change.queue.name.empty()) change.queue.name = std::move(declared->name);
    if (!declared->created) {
      const ReplyTo to = await(change);
      engine().send_to_queue(declared->queue, CountQueue{declared->queue, to});
      return;  // perhaps answered within the call
    }
    changes_.answer(change, Counted{});
  } else if (auto* refused = std::get_if<Refused>(&reply.result)) {
    changes_.answer(change, std::move(*refused));
  } else if (const auto* counted = std::get_if<Counted>(&reply.result)) {
    changes_.answer(change, *counted);
  } else {
    changes_.answer(change, std::get<Done>(reply.result));
  }
  give_answers();
}

// Answers in order. A refusal closes the channel once those behind it are answered too: they may
// have been carried out, and who reads the close can rely on what it sees.
void Channel::give_answers() {
  while (!changes_.empty() && changes_.front().answered()) {
    OutstandingChanges::Change& change = changes_.front();
    if (auto* refused = std::get_if<Refused>(&change.answer)) {
      if (session_.parked()) return;
      AmqpError error(refused->code, std::move(refused->explanation), method_of(change.kind));
      changes_.clear();
      throw error;
    }
    if (change.kind == OutstandingChanges::Kind::Declare) last_queue_ = change.queue.name;
    if (!change.nowait) send_ok(change);
    changes_.pop();
  }
}

void Channel::send_ok(const OutstandingChanges::Change& change) {
  switch (change.kind) {
    case OutstandingChanges::Kind::Declare:
      send_declare_ok(change.queue.name, std::get<Counted>(change.answer));
      break;
    case OutstandingChanges::Kind::Bind:
      send(protocol::QueueBindOk{});
      break;
    case OutstandingChanges::Kind::Delete: {
      protocol::QueueDeleteOk ok;
      ok.message_count = std::get<Counted>(change.answer).messages;
      send(ok);
      break;
    }
  }
}

void Channel::declare_passive(const std::string& name, bool nowait) {
  session_.access().need_some("queue", name);
  const QueueId id = known_queue(name).id;
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
  Bind change = binding_of(method);
  check_rights(change.binding);
  if (cannot_fail(change.binding)) {
    send_change(changes_.add(OutstandingChanges::Kind::Bind, {}, method.nowait), std::move(change));
    return;
  }
  change_definitions(std::move(change), [this, nowait = method.nowait](Reply&) {
    if (!nowait) send(protocol::QueueBindOk{});
  });
}

void Channel::on(const protocol::QueueUnbind& method) {
  Bind change = binding_of(method);
  change.unbind = true;
  check_rights(change.binding);
  change_definitions(std::move(change), [this](Reply&) { send(protocol::QueueUnbindOk{}); });
}

void Channel::check_rights(const routing::Binding& binding) {
  session_.access().need_queue(Right::Write, binding.destination);
  refuse_default_exchange(binding.source);
  need_source(binding);
}

template <class M>
Bind Channel::binding_of(const M& method) const {
  Bind change;
  change.binding.destination = named_queue(without_line_feeds(method.queue));
  change.binding.source = without_line_feeds(method.exchange);
  // Neither queue nor key given: the last declared queue's name is both (C-246).
  change.binding.routing_key = method.queue.empty() && method.routing_key.empty()
                                   ? last_queue_
                                   : std::string(method.routing_key);
  change.binding.arguments = protocol::Table(method.arguments);
  change.connection = ref_.connection;
  return change;
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
  if (cannot_fail(change)) {
    routing::QueueEntry named;
    named.name = change.name;
    send_change(changes_.add(OutstandingChanges::Kind::Delete, std::move(named), method.nowait),
                std::move(change));
    return;
  }
  change_definitions(std::move(change), [this, nowait = method.nowait](Reply& reply) {
    if (nowait) return;
    protocol::QueueDeleteOk ok;
    ok.message_count = std::get<Counted>(reply.result).messages;
    send(ok);
  });
}

}  // namespace harrier::broker
