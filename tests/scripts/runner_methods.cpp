// SPDX-License-Identifier: Apache-2.0
#include "tests/scripts/runner_methods.hpp"

#include <charconv>
#include <deque>
#include <limits>
#include <type_traits>

#include "protocol/codec.hpp"
#include "protocol/properties.hpp"
#include "protocol/value_text.hpp"

namespace harrier::scripts {
namespace {

using protocol::Method;
using protocol::MethodId;
using protocol::Properties;
using protocol::TableView;

template <class M, class Visit>
void for_each_field(Visit&& visit) {
  std::apply([&](const auto&... field) { (visit(field), ...); }, M::kFields);
}

// Calls visit.template operator()<M>() for the method of that name.
template <class Visit, std::size_t... I>
bool with_method(std::string_view name, Visit&& visit, std::index_sequence<I...>) {
  return ((std::variant_alternative_t<I, Method>::kName == name
               ? (visit.template operator()<std::variant_alternative_t<I, Method>>(), true)
               : false) ||
          ...);
}
template <class Visit>
bool with_method(std::string_view name, Visit&& visit) {
  return with_method(name, visit, std::make_index_sequence<std::variant_size_v<Method>>{});
}

// Strings and tables of the method being built; its views point into these.
struct Storage {
  std::deque<std::string> texts;
  std::deque<ByteVector> tables;
};

template <class T>
T integer_argument(const Argument& argument, Variables& variables) {
  const std::uint64_t number = number_of(argument.value, variables);
  if (number > std::numeric_limits<T>::max())
    throw StepError(argument.name + " is too large for its field");
  return static_cast<T>(number);
}

void set_field(std::string_view& field, const Argument& argument, Variables& variables,
               Storage& storage) {
  // A table where a long string is asked for is the AMQPLAIN response: a table body.
  if (std::holds_alternative<TableLiteral>(argument.value.of)) {
    storage.tables.push_back(table_bytes(argument.value, variables));
    field = protocol::as_text(storage.tables.back());
    return;
  }
  storage.texts.push_back(text_of(argument.value, variables));
  field = storage.texts.back();
}
void set_field(TableView& field, const Argument& argument, Variables& variables, Storage& storage) {
  storage.tables.push_back(table_bytes(argument.value, variables));
  field = TableView(storage.tables.back());
}
void set_field(bool& field, const Argument& argument, Variables& variables, Storage&) {
  field = flag_of(argument.value, variables);
}
template <class T>
requires std::is_unsigned_v<T>
void set_field(T& field, const Argument& argument, Variables& variables, Storage&) {
  field = integer_argument<T>(argument, variables);
}

template <class M>
bool set_by_name(M& method, const Argument& argument, Variables& variables, Storage& storage) {
  bool found = false;
  for_each_field<M>([&](const auto& field) {
    if (field.name != argument.name) return;
    found = true;
    auto& value = method.*(field.member);
    set_field(value, argument, variables, storage);
    if constexpr (std::is_same_v<std::remove_cvref_t<decltype(value)>, std::string_view>) {
      if (field.wire == protocol::WireType::ShortStr && value.size() > 255) {
        throw StepError(argument.name + " has more than 255 bytes");
      }
    }
  });
  return found;
}

Actual actual_of(std::string_view value) { return std::string(value); }
Actual actual_of(TableView value) { return value; }
Actual actual_of(bool value) { return std::string(value ? "true" : "false"); }
template <class T>
requires std::is_unsigned_v<T> Actual actual_of(T value) { return std::to_string(value); }

template <class T>
Actual actual_of_optional(const std::optional<T>& value) {
  if (!value) return std::monostate{};
  if constexpr (std::is_same_v<T, protocol::Table>) {
    return value->view();
  } else {
    return actual_of(*value);
  }
}

std::optional<Actual> method_field(const Method& method, std::string_view name) {
  return std::visit(
      [&]<class M>(const M& typed) -> std::optional<Actual> {
        std::optional<Actual> found;
        for_each_field<M>([&](const auto& field) {
          if (field.name == name) found = actual_of(typed.*(field.member));
        });
        if constexpr (requires { typed.class_id; }) {
          // method=queue.declare instead of class_id=50 method_id=10
          if (name == "method")
            found = std::string(protocol::name_of(MethodId{typed.class_id, typed.method_id}));
        }
        return found;
      },
      method);
}

// The named property; `visit` gets the optional member.
template <class Visit>
bool with_property(std::string_view name, Visit&& visit) {
  if (name == "content_type") return visit(&Properties::content_type), true;
  if (name == "content_encoding") return visit(&Properties::content_encoding), true;
  if (name == "headers") return visit(&Properties::headers), true;
  if (name == "delivery_mode") return visit(&Properties::delivery_mode), true;
  if (name == "priority") return visit(&Properties::priority), true;
  if (name == "correlation_id") return visit(&Properties::correlation_id), true;
  if (name == "reply_to") return visit(&Properties::reply_to), true;
  if (name == "expiration") return visit(&Properties::expiration), true;
  if (name == "message_id") return visit(&Properties::message_id), true;
  if (name == "timestamp") return visit(&Properties::timestamp), true;
  if (name == "type") return visit(&Properties::type), true;
  if (name == "user_id") return visit(&Properties::user_id), true;
  if (name == "app_id") return visit(&Properties::app_id), true;
  if (name == "cluster_id") return visit(&Properties::cluster_id), true;
  return false;
}

void set_property(std::optional<std::string>& property, const Argument& argument,
                  Variables& variables) {
  property = text_of(argument.value, variables);
}
void set_property(std::optional<protocol::Table>& property, const Argument& argument,
                  Variables& variables) {
  const ByteVector bytes = table_bytes(argument.value, variables);
  property = protocol::Table(TableView(bytes));
}
template <class T>
void set_property(std::optional<T>& property, const Argument& argument, Variables& variables) {
  property = integer_argument<T>(argument, variables);
}

std::optional<std::string> body_mismatch(const Content& content, const Argument& argument,
                                         Variables& variables) {
  const std::uint64_t size = number_of(argument.value, variables);
  if (content.body.size() != size) {
    return "body_size: expected " + std::to_string(size) + ", received " +
           std::to_string(content.body.size());
  }
  const ByteVector expected = pattern_body(content.body.size());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    if (content.body[i] != expected[i])
      return "body: differs from the pattern at byte " + std::to_string(i);
  }
  return std::nullopt;
}

// nullopt: no such field of a content.
std::optional<Actual> content_field(const Content& content, const Properties& properties,
                                    std::string_view name) {
  if (name == "body") return std::string(protocol::as_text(content.body));
  if (name == "body_frames") return std::to_string(content.body_frames);
  std::optional<Actual> found;
  with_property(name, [&](auto member) { found = actual_of_optional(properties.*member); });
  return found;
}

Properties parsed_properties(const Content& content) {
  const auto view = protocol::PropertiesView::parse(content.properties);
  if (!view) throw StepError("the received properties do not decode");
  return Properties::from(*view);
}

void require_equals(const Argument& argument) {
  if (argument.op != Operator::Equals)
    throw StepError("only name=value can be sent, not " + argument.name);
}

}  // namespace

bool is_method(std::string_view name) {
  return with_method(name, []<class M>() {});
}

ByteVector build_method(std::string_view name, const std::vector<Argument>& arguments,
                        Variables& variables, std::vector<Argument>& rest) {
  Storage storage;
  ByteVector payload;
  std::size_t cut = 0;
  std::string append;
  const bool known = with_method(name, [&]<class M>() {
    M method;
    for (const Argument& argument : arguments) {
      require_equals(argument);
      if (set_by_name(method, argument, variables, storage)) continue;
      if (argument.name == "append") {
        append = text_of(argument.value, variables);
      } else if (argument.name == "cut") {
        cut = number_of(argument.value, variables);
      } else if (M::kContent) {
        rest.push_back(argument);
      } else {
        throw StepError(std::string(name) + " has no field " + argument.name);
      }
    }
    payload.resize(protocol::encoded_size(method));
    protocol::encode(method, payload.data());
  });
  if (!known) throw StepError("no such method or action: " + std::string(name));
  if (cut > payload.size()) throw StepError("cut is longer than the method");
  payload.resize(payload.size() - cut);
  payload.insert(payload.end(), append.begin(), append.end());
  return payload;
}

Content build_content(const std::vector<Argument>& arguments, Variables& variables) {
  Content content;
  Properties properties;
  std::optional<std::string> raw_properties;
  std::optional<std::uint64_t> announced;
  for (const Argument& argument : arguments) {
    require_equals(argument);
    const std::string& name = argument.name;
    if (name == "body") {
      const std::string text = text_of(argument.value, variables);
      content.body.assign(text.begin(), text.end());
    } else if (name == "body_size") {
      content.body = pattern_body(number_of(argument.value, variables));
    } else if (name == "announced_size") {
      announced = number_of(argument.value, variables);
    } else if (name == "weight") {
      content.weight = integer_argument<std::uint16_t>(argument, variables);
    } else if (name == "class") {
      content.class_id = integer_argument<std::uint16_t>(argument, variables);
    } else if (name == "properties") {
      raw_properties = text_of(argument.value, variables);
    } else if (!with_property(name, [&](auto member) {
                 set_property(properties.*member, argument, variables);
               })) {
      throw StepError("neither a field of the method nor a property: " + name);
    }
  }
  content.announced_size = announced.value_or(content.body.size());
  content.properties = properties.encode();
  if (raw_properties) content.properties.assign(raw_properties->begin(), raw_properties->end());
  return content;
}

std::optional<std::string> method_mismatch(const Method& method, const Content* content,
                                           const std::vector<Argument>& arguments,
                                           Variables& variables, Captures& captures) {
  std::optional<Properties> properties;
  for (const Argument& argument : arguments) {
    std::optional<Actual> actual = method_field(method, argument.name);
    if (!actual && content != nullptr) {
      if (argument.name == "body_size") {
        if (auto differs = body_mismatch(*content, argument, variables)) return differs;
        continue;
      }
      if (!properties) properties = parsed_properties(*content);
      actual = content_field(*content, *properties, argument.name);
    }
    if (!actual)
      throw StepError(std::string(protocol::name_of(method)) + " has no field " + argument.name);
    if (auto differs = mismatch(argument, *actual, variables, captures)) return differs;
  }
  return std::nullopt;
}

std::string content_text(const Content& content) {
  constexpr std::size_t kShown = 60;
  std::string out;
  const auto view = protocol::PropertiesView::parse(content.properties);
  if (!view) {
    out = "(broken properties)";
  } else {
    const Properties properties = Properties::from(*view);
    for (const char* name : {"content_type", "content_encoding", "headers", "delivery_mode",
                             "priority", "correlation_id", "reply_to", "expiration", "message_id",
                             "timestamp", "type", "user_id", "app_id", "cluster_id"}) {
      const auto actual = content_field(content, properties, name);
      if (actual && !std::holds_alternative<std::monostate>(*actual)) {
        out += std::string(name) + "=" + to_text(*actual) + " ";
      }
    }
  }
  protocol::append_quoted(out += "body=", protocol::as_text(content.body).substr(0, kShown));
  if (content.body.size() > kShown)
    out += "... (" + std::to_string(content.body.size()) + " bytes)";
  return out;
}

}  // namespace harrier::scripts
