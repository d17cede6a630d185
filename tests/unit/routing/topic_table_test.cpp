// SPDX-License-Identifier: Apache-2.0
//
// The worked examples T001..T097 of section 9.2, each through the whole path: registry, snapshot,
// router; and through the naive matcher, so that the reference of the random tests is held to them
// as well.
#include <gtest/gtest.h>

#include "tests/unit/routing/fixture.hpp"
#include "tests/unit/routing/naive_topic.hpp"

namespace harrier::routing_tests {
namespace {

struct Example {
  const char* id;
  const char* binding_key;
  const char* routing_key;
  bool match;
};

constexpr Example kExamples[] = {
    {"T001", "a.b.c", "a.b.c", true},
    {"T002", "a.b.c", "a.b", false},
    {"T003", "a.b", "a.b.c", false},
    {"T004", "a.*.c", "a.b.c", true},
    {"T005", "a.*.c", "a..c", true},
    {"T006", "a.*.c", "a.c", false},
    {"T007", "a.*.c", "a.b.b.c", false},
    {"T008", "a.#.c", "a.c", true},
    {"T009", "a.#.c", "a.b.c", true},
    {"T010", "a.#.c", "a.b.b.b.c", true},
    {"T011", "a.#.c", "a.c.c", true},
    {"T012", "a.#.c", "a", false},
    {"T013", "a.#.c", "c", false},
    {"T014", "#", "", true},
    {"T015", "#", "a", true},
    {"T016", "#", "a.b.c", true},
    {"T017", "#", ".", true},
    {"T018", "#", "...", true},
    {"T019", "*", "", false},
    {"T020", "*", "a", true},
    {"T021", "*", "a.b", false},
    {"T022", "*", ".", false},
    {"T023", "", "", true},
    {"T024", "", "a", false},
    {"T025", "", ".", false},
    {"T026", ".", "", false},
    {"T027", ".", ".", true},
    {"T028", ".", "..", false},
    {"T029", "*.*", ".", true},
    {"T030", "*.*", "a.", true},
    {"T031", "*.*", ".a", true},
    {"T032", "*.*", "a", false},
    {"T033", "*.*", "a.b.c", false},
    {"T034", "a.", "a", false},
    {"T035", "a.", "a.", true},
    {"T036", "a", "a.", false},
    {"T037", ".a", "a", false},
    {"T038", ".a", ".a", true},
    {"T039", "a.#", "a", true},
    {"T040", "a.#", "a.", true},
    {"T041", "a.#", "a.b.c", true},
    {"T042", "a.#", "b.a", false},
    {"T043", "a.#", "ab", false},
    {"T044", "a.#", ".a", false},
    {"T045", "#.a", "a", true},
    {"T046", "#.a", ".a", true},
    {"T047", "#.a", "b.a", true},
    {"T048", "#.a", "a.b", false},
    {"T049", "#.#", "", true},
    {"T050", "#.#", "a", true},
    {"T051", "#.#", "a.b.c", true},
    {"T052", "*.#", "", false},
    {"T053", "*.#", "a", true},
    {"T054", "*.#", ".", true},
    {"T055", "#.*", "", false},
    {"T056", "#.*", "a.b", true},
    {"T057", "#.*.#", "", false},
    {"T058", "#.*.#", "a", true},
    {"T059", "*.#.*", "a", false},
    {"T060", "*.#.*", "a.b", true},
    {"T061", "*.#.*", "a.b.c", true},
    {"T062", "#.b.#", "b", true},
    {"T063", "#.b.#", "a.b", true},
    {"T064", "#.b.#", "a.c", false},
    {"T065", "#.b.#", "b.b.b", true},
    {"T066", "a*", "ab", false},
    {"T067", "a*", "a*", true},
    {"T068", "a#.b", "a.b", false},
    {"T069", "a#.b", "a#.b", true},
    {"T070", "*a.b", "xa.b", false},
    {"T071", "**", "a", false},
    {"T072", "**", "**", true},
    {"T073", "##", "a", false},
    {"T074", "##", "##", true},
    {"T075", "*", "*", true},
    {"T076", "*", "#", true},
    {"T077", "#", "*.#", true},
    {"T078", "a.b", "A.B", false},
    {"T079", "a b.c", "a b.c", true},
    {"T080", "a..b", "a.b", false},
    {"T081", "a..b", "a..b", true},
    {"T082", "a.*.b", "a..b", true},
    {"T083", "a.#.b", "a..b", true},
    {"T084", "*.orange.*", "quick.orange.rabbit", true},
    {"T085", "*.*.rabbit", "lazy.orange.rabbit", true},
    {"T086", "lazy.#", "lazy.brown.fox", true},
    {"T087", "lazy.#", "lazy", true},
    {"T088", "*.orange.*", "quick.orange.male.rabbit", false},
    {"T089", "*.orange.*", "orange", false},
    {"T090", "lazy.#", "lazy.orange.male.rabbit", true},
    {"T091", "stock.#.nyse", "stock.nyse", true},
    {"T092", "stock.*.nyse", "stock.nyse", false},
    {"T093", "#.x.#.x.#", "x", false},
    {"T094", "#.x.#.x.#", "x.x", true},
    {"T095", "a.#.#", "a", true},
    {"T096", "a.*.#", "a", false},
    {"T097", "a.*.#", "a.b", true},
};

TEST(TopicTable, EachExampleAlone) {
  for (const Example& example : kExamples) {
    Broker broker;
    broker.queue("q");
    broker.bind("amq.topic", "q", example.binding_key);
    const Names expected = example.match ? Names{"q"} : Names{};
    EXPECT_EQ(broker.route("amq.topic", example.routing_key), expected) << example.id;
    EXPECT_EQ(naive_match(example.binding_key, example.routing_key), example.match) << example.id;
    EXPECT_EQ(broker.unbind("amq.topic", "q", example.binding_key).bindings.size(), 1U);
    EXPECT_EQ(broker.route("amq.topic", example.routing_key), Names{}) << example.id;
  }
}

TEST(TopicTable, AllExamplesBoundAtOnce) {
  Broker broker;
  for (const Example& example : kExamples) {
    broker.queue(example.id);
    broker.bind("amq.topic", example.id, example.binding_key);
  }
  for (const Example& example : kExamples) {
    const Names reached = broker.route("amq.topic", example.routing_key);
    const bool match = std::find(reached.begin(), reached.end(), example.id) != reached.end();
    EXPECT_EQ(match, example.match) << example.id;
  }
}

}  // namespace
}  // namespace harrier::routing_tests
