// SPDX-License-Identifier: Apache-2.0
//
// The exchange class (conformance section 3).
#include "broker/core/arguments.hpp"
#include "broker/core/channel_impl.hpp"
#include "broker/core/engine.hpp"

namespace harrier::broker {

using protocol::AmqpError;
using protocol::ReplyCode;

const routing::Exchange& Channel::existing_exchange(std::string_view name) {
  const VhostView& vhost = session_.vhost();
  const routing::Exchange* exchange = vhost.topology->find_exchange(name);
  if (exchange == nullptr)
    throw AmqpError(ReplyCode::NotFound, "no " + in_vhost("exchange", name, vhost.name));
  return *exchange;
}

void Channel::on(const protocol::ExchangeDeclare& method) {
  const std::string name = without_line_feeds(method.exchange);
  const std::string& vhost = session_.vhost().name;
  const bool nowait = method.nowait;
  if (method.passive) {  // C-162
    refuse_default_exchange(name);
    session_.access().need_some("exchange", name);
    existing_exchange(name);
    if (!nowait) send(protocol::ExchangeDeclareOk{});
    return;
  }
  const auto type = routing::parse_exchange_type(method.type);
  if (!type)
    throw AmqpError(ReplyCode::PreconditionFailed,
                    "unknown exchange type '" + std::string(method.type) + "'");
  refuse_default_exchange(name);
  session_.access().need_exchange(Right::Configure, name);
  if (const routing::Exchange* existing = session_.vhost().topology->find_exchange(name)) {
    check_exchange_equivalence(*existing, vhost, method.type, method.durable, method.auto_delete,
                               method.internal, method.arguments);
    if (!nowait) send(protocol::ExchangeDeclareOk{});
    return;
  }
  if (name.starts_with("amq.")) {
    throw AmqpError(ReplyCode::AccessRefused,
                    "exchange name '" + name + "' contains reserved prefix 'amq.*'");
  }
  routing::Exchange exchange;
  exchange.alternate = check_exchange_arguments(name, vhost, method.arguments);
  if (exchange.alternate) {
    session_.access().need_exchange(Right::Read, name);
    session_.access().need_exchange(Right::Write, *exchange.alternate);
  }
  routing::check_type_arguments(*type, method.arguments);
  exchange.name = name;
  exchange.type = *type;
  exchange.durable = method.durable;
  exchange.auto_delete = method.auto_delete;
  exchange.internal = method.internal;
  exchange.arguments = protocol::Table(method.arguments);
  change_definitions(DeclareExchange{std::move(exchange)}, [this, nowait](Reply&) {
    if (!nowait) send(protocol::ExchangeDeclareOk{});
  });
}

void Channel::on(const protocol::ExchangeDelete& method) {
  const std::string name = without_line_feeds(method.exchange);
  refuse_default_exchange(name);
  if (name.starts_with("amq.")) {
    throw AmqpError(
        ReplyCode::AccessRefused,
        "deletion of system " + in_vhost("exchange", name, session_.vhost().name) + " not allowed");
  }
  session_.access().need_exchange(Right::Configure, name);
  change_definitions(DeleteExchange{name, method.if_unused},
                     [this, nowait = method.nowait](Reply&) {
                       if (!nowait) send(protocol::ExchangeDeleteOk{});
                     });
}

void Channel::on(const protocol::ExchangeBind& method) {
  bind_exchange(method.destination, method.source, method.routing_key, method.arguments, false,
                method.nowait);
}

void Channel::on(const protocol::ExchangeUnbind& method) {
  bind_exchange(method.destination, method.source, method.routing_key, method.arguments, true,
                method.nowait);
}

// What may be read from an exchange may be bound to (section 10).
void Channel::need_source(const routing::Binding& binding) {
  Access& access = session_.access();
  if (!access.restricted()) return;
  access.need_exchange(Right::Read, binding.source);
  const routing::Exchange* source = session_.vhost().topology->find_exchange(binding.source);
  if (source != nullptr && routing::routing_type(*source) == routing::ExchangeType::Topic)
    access.need_topic(Right::Read, binding.source, binding.routing_key);
}

void Channel::bind_exchange(std::string_view destination, std::string_view source,
                            std::string_view routing_key, protocol::TableView arguments,
                            bool unbind, bool nowait) {
  Bind change;
  change.binding.source = without_line_feeds(source);
  change.binding.destination = without_line_feeds(destination);
  change.binding.to_exchange = true;
  change.binding.routing_key = std::string(routing_key);
  change.binding.arguments = protocol::Table(arguments);
  change.connection = ref_.connection;
  change.unbind = unbind;
  session_.access().need_exchange(Right::Write, change.binding.destination);
  refuse_default_exchange(change.binding.destination);
  refuse_default_exchange(change.binding.source);
  need_source(change.binding);
  change_definitions(std::move(change), [this, unbind, nowait](Reply&) {
    if (nowait) return;
    if (unbind) {
      send(protocol::ExchangeUnbindOk{});
    } else {
      send(protocol::ExchangeBindOk{});
    }
  });
}

}  // namespace harrier::broker
