// SPDX-License-Identifier: Apache-2.0
#include "routing/headers.hpp"

#include <algorithm>

#include "protocol/error.hpp"

namespace harrier::routing {

using protocol::AmqpError;
using protocol::FieldValue;
using protocol::ReplyCode;
using protocol::TableView;

namespace {

bool is_any(HeadersMode mode) { return mode == HeadersMode::Any || mode == HeadersMode::AnyWithX; }

bool is_looked_at(HeadersMode mode, std::string_view name) {
  const bool with_x = mode == HeadersMode::AllWithX || mode == HeadersMode::AnyWithX;
  return with_x ? name != "x-match" : !name.starts_with("x-");
}

std::uint64_t presence_pair(std::string_view name) { return hash_text(name, 'V'); }

std::uint64_t value_pair(std::string_view name, const FieldValue& value) {
  return hash_text(name, hash_value(value));
}

// The pairs that the arguments ask for, each once.
std::vector<std::uint64_t> pairs_of(HeadersMode mode, TableView arguments) {
  std::vector<std::uint64_t> pairs;
  arguments.for_each([&](std::string_view name, const FieldValue& value) {
    if (is_looked_at(mode, name)) {
      pairs.push_back(value.tag == 'V' ? presence_pair(name) : value_pair(name, value));
    }
    return true;
  });
  std::sort(pairs.begin(), pairs.end());
  pairs.erase(std::unique(pairs.begin(), pairs.end()), pairs.end());
  return pairs;
}

void collect(TableView headers, std::vector<HeadersScratch::Header>& out) {
  out.clear();
  headers.for_each([&out](std::string_view name, const FieldValue& value) {
    out.push_back({name, value});
    return true;
  });
  // Among duplicates the one that stands first counts (C-411); all names point into one table.
  std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) {
    const int order = a.name.compare(b.name);
    return order != 0 ? order < 0 : a.value.payload.data() < b.value.payload.data();
  });
  const auto same_name = [](const auto& a, const auto& b) { return a.name == b.name; };
  out.erase(std::unique(out.begin(), out.end(), same_name), out.end());
}

const FieldValue* find_header(const HeadersScratch& message, std::string_view name) {
  const auto at = std::lower_bound(
      message.headers.begin(), message.headers.end(), name,
      [](const HeadersScratch::Header& header, std::string_view key) { return header.name < key; });
  return at != message.headers.end() && at->name == name ? &at->value : nullptr;
}

}  // namespace

std::uint64_t hash_value(const FieldValue& value) {
  constexpr std::uint64_t kIntegerSeed = 'i';
  // Integers are equal across widths (C-525), all else only to their own type.
  if (const auto integer = value.as_integer()) {
    return hash_id(static_cast<std::uint64_t>(*integer) ^ kIntegerSeed << 56);
  }
  if (const auto truth = value.as_bool()) return hash_id(*truth ? 't' : 'f');
  return hash_text(protocol::as_text(value.payload), static_cast<unsigned char>(value.tag));
}

HeadersMode parse_x_match(TableView arguments) {
  const std::optional<FieldValue> value = arguments.find("x-match");
  if (!value) return HeadersMode::All;
  const std::optional<std::string_view> text = value->as_text();
  if (!text) {
    throw AmqpError(ReplyCode::PreconditionFailed,
                    "Invalid x-match field type " + std::string(value->type_name()) + " (value " +
                        to_text(*value) + "); expected longstr");
  }
  if (*text == "all") return HeadersMode::All;
  if (*text == "any") return HeadersMode::Any;
  if (*text == "all-with-x") return HeadersMode::AllWithX;
  if (*text == "any-with-x") return HeadersMode::AnyWithX;
  throw AmqpError(ReplyCode::PreconditionFailed,
                  "Invalid x-match field value <<\"" + std::string(*text) +
                      "\">>; expected all, any, all-with-x, or any-with-x");
}

bool HeadersMatcher::Rule::matches(const HeadersScratch& message) const {
  const bool any = is_any(mode);
  bool result = !any;  // C-527
  arguments.view().for_each([&](std::string_view name, const FieldValue& wanted) {
    if (!is_looked_at(mode, name)) return true;
    const FieldValue* header = find_header(message, name);
    const bool equal =
        header != nullptr && (wanted.tag == 'V' || protocol::equal_values(wanted, *header));
    if (equal != any) return true;  // undecided yet
    result = any;
    return false;
  });
  return result;
}

bool HeadersMatcher::contains(std::uint64_t pair, std::string_view identity) const {
  const Bucket* bucket = buckets_.find(pair);
  return bucket != nullptr && bucket->rules.find(identity) != nullptr;
}

// Where the "all" rule is, or else where it costs least.
std::uint64_t HeadersMatcher::place_for(const std::vector<std::uint64_t>& pairs,
                                        std::string_view identity) const {
  std::uint64_t best = pairs.front();
  std::uint64_t best_size = ~std::uint64_t{0};
  for (const std::uint64_t pair : pairs) {
    if (contains(pair, identity)) return pair;
    const Bucket* bucket = buckets_.find(pair);
    const std::uint64_t size = bucket == nullptr ? 0 : bucket->size;
    if (size >= best_size) continue;
    best = pair;
    best_size = size;
  }
  return best;
}

void HeadersMatcher::add_to_bucket(std::uint64_t pair, const Ref<Rule>& rule,
                                   Destination destination) {
  Bucket* bucket = buckets_.edit(pair);
  if (bucket == nullptr) {
    buckets_.insert({pair, 0, {}});
    bucket = buckets_.edit(pair);
  }
  if (RuleEntry* entry = bucket->rules.edit(rule->identity)) {
    entry->destinations.add(destination);
    return;
  }
  RuleEntry entry{rule, {}};
  entry.destinations.add(destination);
  bucket->rules.insert(std::move(entry));
  ++bucket->size;
}

bool HeadersMatcher::remove_from_bucket(std::uint64_t pair, std::string_view identity,
                                        Destination destination) {
  if (!contains(pair, identity)) return false;
  Bucket* bucket = buckets_.edit(pair);
  RuleEntry* entry = bucket->rules.edit(identity);
  if (!entry->destinations.remove(destination)) return false;
  if (!entry->destinations.empty()) return true;
  bucket->rules.erase(identity);
  --bucket->size;
  if (bucket->size == 0) buckets_.erase(pair);
  return true;
}

void HeadersMatcher::add(TableView arguments, Destination destination) {
  const HeadersMode mode = parse_x_match(arguments);
  const std::vector<std::uint64_t> pairs = pairs_of(mode, arguments);
  if (pairs.empty()) {
    if (!is_any(mode)) always_.add(destination);
    return;
  }
  Rule* made = new Rule;
  const Ref<Rule> rule = Ref<Rule>::adopt(made);
  made->mode = mode;
  made->arguments = protocol::Table(arguments);
  made->identity = canonical_form(arguments);
  if (is_any(mode)) {
    for (const std::uint64_t pair : pairs) add_to_bucket(pair, rule, destination);
  } else {
    add_to_bucket(place_for(pairs, rule->identity), rule, destination);
  }
}

bool HeadersMatcher::remove(TableView arguments, Destination destination) {
  const HeadersMode mode = parse_x_match(arguments);
  const std::vector<std::uint64_t> pairs = pairs_of(mode, arguments);
  if (pairs.empty()) return is_any(mode) || always_.remove(destination);
  const std::string identity = canonical_form(arguments);
  if (!is_any(mode)) {
    return remove_from_bucket(place_for(pairs, identity), identity, destination);
  }
  bool removed = true;
  for (const std::uint64_t pair : pairs) {
    removed = remove_from_bucket(pair, identity, destination) && removed;
  }
  return removed;
}

std::size_t HeadersMatcher::match(TableView headers, HeadersScratch& scratch,
                                  std::vector<Destination>& out) const {
  std::size_t sets = always_.append_to(out);
  if (buckets_.empty()) return sets;
  collect(headers, scratch.headers);
  const auto match_bucket = [&](std::uint64_t pair) {
    const Bucket* bucket = buckets_.find(pair);
    if (bucket == nullptr) return;
    bucket->rules.for_each([&](const RuleEntry& entry) {
      if (entry.rule->matches(scratch)) sets += entry.destinations.append_to(out);
    });
  };
  for (const HeadersScratch::Header& header : scratch.headers) {
    match_bucket(presence_pair(header.name));
    match_bucket(value_pair(header.name, header.value));
  }
  return sets;
}

}  // namespace harrier::routing
