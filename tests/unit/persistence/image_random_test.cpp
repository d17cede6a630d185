// SPDX-License-Identifier: Apache-2.0
//
// The image against a model in memory: seeded random transactions, committed or abandoned, with
// restarts, sweeps and snapshots in between. After each the image must be the model, and sound.

#include <map>
#include <random>
#include <tuple>

#include "tests/unit/persistence/image_fixture.hpp"

namespace harrier::persistence_tests {
namespace {

struct ModelRow {
  std::uint32_t delivery_count = 0;
  Bytes bytes;
  std::uint64_t content = 0;
  std::uint64_t content_bytes = 0;
  friend bool operator==(const ModelRow&, const ModelRow&) = default;
};

struct ModelQueue {
  Seq seq_max = 0;
  std::map<Seq, ModelRow> rows;
  friend bool operator==(const ModelQueue&, const ModelQueue&) = default;
};

struct Model {
  std::map<std::uint64_t, ModelQueue> queues;
  std::map<std::uint64_t, Bytes> contents;  // all that were ever put
  std::map<std::tuple<Kind, std::string, std::string>, Bytes> definitions;
  Image::Meta meta;
};

class ImageRandomTest : public ImageTest, public testing::WithParamInterface<unsigned> {
 protected:
  std::uint64_t below(std::uint64_t end) { return random_() % end; }

  std::string body() {
    // Mostly small; some fill leaves, some want pages of their own.
    const std::uint64_t shape = below(20);
    const std::uint64_t size = shape == 0 ? below(9'000) : shape < 4 ? below(2'000) : below(60);
    return std::string(size, static_cast<char>('a' + below(26)));
  }

  Seq some_seq(const ModelQueue& queue) {
    if (queue.rows.empty() || below(4) == 0) return below(queue.seq_max + 3);
    auto at = queue.rows.lower_bound(below(queue.seq_max + 1));
    return at == queue.rows.end() ? queue.rows.begin()->first : at->first;
  }

  void put(Image::Writer& writer, Model& model, std::uint64_t queue, Seq seq) {
    ModelQueue& held = model.queues[queue];
    const auto delivery_count = static_cast<std::uint32_t>(below(3));
    const std::string text = body();
    const Bytes tail =
        tail_of(text, below(1'000), below(2) == 0 ? std::nullopt : std::optional(below(9)));
    held.rows[seq] = {delivery_count, tail, 0, content_bytes_of(text)};
    held.seq_max = std::max(held.seq_max, seq);
    writer.put(QueueId{queue}, seq, delivery_count, tail);
  }

  void put_shared(Image::Writer& writer, Model& model) {
    const std::uint64_t id = model.meta.next_content++;
    const std::string text(below(15'000), 's');
    const Bytes message = message_of(text);
    const std::size_t cut = below(message.size());
    const std::vector<ByteView> pieces = {ByteView(message).first(cut),
                                          ByteView(message).subspan(cut)};
    const bool before = below(2) == 0;
    if (before) writer.put_content(id, pieces);
    for (std::uint64_t i = 0, references = below(6); i < references; ++i) {
      const std::uint64_t queue = below(5);
      ModelQueue& held = model.queues[queue];
      const Seq seq = below(3) == 0 ? some_seq(held) : held.seq_max + 1;
      held.rows[seq] = {0, head_of(id), id, content_bytes_of(text)};
      held.seq_max = std::max(held.seq_max, seq);
      writer.put_large(QueueId{queue}, seq, 0, head_of(id), id, content_bytes_of(text));
    }
    if (!before) writer.put_content(id, pieces);
    model.contents[id] = message;
  }

  void define(Image::Writer& writer, Model& model) {
    const auto kind = static_cast<Kind>(1 + below(3));
    const std::string vhost = below(2) == 0 ? "/" : "v";
    const std::string name(below(3) * 300, static_cast<char>('a' + below(3)));
    if (below(3) == 0) {
      model.definitions.erase({kind, vhost, name});
      writer.forget({kind, vhost, name});
      return;
    }
    const Bytes value(below(3'000), static_cast<std::uint8_t>(below(256)));
    model.definitions[{kind, vhost, name}] = value;
    writer.define({kind, vhost, name, value});
  }

  void erase(Image::Writer& writer, Model& model, std::uint64_t queue) {
    const auto found = model.queues.find(queue);
    if (found == model.queues.end()) {
      writer.erase(QueueId{queue}, 0, 1'000);
      return;
    }
    ModelQueue& held = found->second;
    const Seq from = some_seq(held);
    const std::uint64_t shape = below(4);
    const Seq up_to = shape < 2 ? from : shape == 2 ? from + below(20) : some_seq(held);
    writer.erase(QueueId{queue}, from, up_to);
    if (from > up_to) return;
    held.rows.erase(held.rows.lower_bound(from), held.rows.upper_bound(up_to));
  }

  void step(Image::Writer& writer, Model& model) {
    const std::uint64_t queue = below(5);
    const auto found = model.queues.find(queue);
    ModelQueue* const held = found == model.queues.end() ? nullptr : &found->second;
    const std::uint64_t what = below(100);
    if (what < 2) {
      // Enough for a purge that does not delete all of it at once.
      const Seq from = held == nullptr ? 1 : held->seq_max + 1;
      for (Seq seq = from; seq < from + 1'300; ++seq) put(writer, model, queue, seq);
    } else if (what < 40) {
      put(writer, model, queue, held == nullptr ? 1 : held->seq_max + 1);
    } else if (what < 50) {
      put(writer, model, queue, held == nullptr ? 0 : some_seq(*held));
    } else if (what < 75) {
      erase(writer, model, queue);
    } else if (what < 82) {
      put_shared(writer, model);
    } else if (what < 90 && held != nullptr) {
      const Seq seq = some_seq(*held);
      writer.set_delivery_count(QueueId{queue}, seq, 77);
      if (held->rows.count(seq) > 0) held->rows[seq].delivery_count = 77;
    } else if (what < 93) {
      define(writer, model);
    } else if (what == 93) {
      writer.drop(QueueId{queue});
      model.queues.erase(queue);
    } else if (what == 94) {
      const Seq seq = below(500);
      writer.set_seq_max(QueueId{queue}, seq);
      ModelQueue& made = model.queues[queue];
      made.seq_max = std::max(made.seq_max, seq);
    } else if (what < 97) {
      model.meta.journal += below(1'000);
      model.meta.clean = below(2) == 0;
      writer.set_meta(model.meta);
    }
  }

  static void read_queue(Image::Snapshot& view, std::uint64_t queue, ModelQueue& out) {
    ASSERT_OK(view.read(QueueId{queue}, 0, [&out](const Image::Snapshot::Row& row) {
      out.rows[row.seq] = {row.delivery_count, to_bytes(row.bytes), row.large ? row.content : 0,
                           row.content_bytes};
      return true;
    }));
  }

  void expect_equal(Image::Snapshot& view, const Model& model) {
    ASSERT_OK(view.check());
    std::map<std::uint64_t, ModelQueue> queues;
    ASSERT_OK(view.queues([&](const Image::Snapshot::Queue& queue) {
      const auto id = static_cast<std::uint64_t>(queue.queue);
      queues[id].seq_max = queue.seq_max;
      read_queue(view, id, queues[id]);
      std::uint64_t bytes = 0;
      for (const auto& [seq, row] : queues[id].rows) bytes += row.content_bytes;
      EXPECT_EQ(queue.messages, queues[id].rows.size());
      EXPECT_EQ(queue.bytes, bytes);
      return true;
    }));
    ASSERT_TRUE(queues == model.queues);
    for (const auto& [id, queue] : queues) {
      for (const auto& [seq, row] : queue.rows) {
        if (row.content == 0) continue;
        Bytes content;
        ASSERT_OK(view.content(row.content, content));
        ASSERT_EQ(content, model.contents.at(row.content));
      }
      expect_counts(view, id, queue);
    }
    std::vector<Define> definitions;
    ASSERT_OK(view.definitions(definitions));
    std::vector<Define> expected;
    for (const auto& [key, value] : model.definitions) {
      expected.push_back({std::get<0>(key), std::get<1>(key), std::get<2>(key), value});
    }
    ASSERT_EQ(definitions, expected);
  }

  void expect_counts(Image::Snapshot& view, std::uint64_t id, const ModelQueue& queue) {
    const Seq from = below(queue.seq_max + 2);
    const Seq up_to = below(queue.seq_max + 2);
    Image::Snapshot::Count expected;
    for (const auto& [seq, row] : queue.rows) {
      if (seq < from || seq > up_to) continue;
      ++expected.messages;
      expected.bytes += row.content_bytes;
    }
    Image::Snapshot::Count found;
    ASSERT_OK(view.count(QueueId{id}, from, up_to, found));
    ASSERT_EQ(found, expected);
    std::optional<Image::Snapshot::Row> row;
    ASSERT_OK(view.find(QueueId{id}, from, row));
    ASSERT_EQ(row.has_value(), queue.rows.count(from) > 0);
  }

  std::mt19937_64 random_{GetParam()};
};

TEST_P(ImageRandomTest, IsTheModel) {
  Model model;
  for (int round = 0; round < 40; ++round) {
    const bool keep = below(6) != 0;
    const auto before = below(8) == 0 ? snapshot() : nullptr;
    Model changed = model;
    {
      auto writer = begin();
      ASSERT_TRUE(writer);
      if (below(4) == 0) writer->sweep(below(500));
      for (std::uint64_t i = 0, steps = below(120); i < steps; ++i) step(*writer, changed);
      writer->set_meta(changed.meta);
      if (keep) ASSERT_OK(writer->commit());
    }
    if (before) expect_equal(*before, model);
    if (keep) model = std::move(changed);
    if (below(5) == 0) {
      bool more = false;
      ASSERT_OK(image_->sweep(below(3'000), more));
    }
    expect_equal(*snapshot(), model);
    if (HasFatalFailure()) return;
    if (!before && below(5) == 0) reopen();
  }
  sweep_all(10'000);
  expect_equal(*snapshot(), model);
  std::uint64_t rows = 0;
  for (const auto& [id, queue] : model.queues) rows += queue.rows.size();
  EXPECT_EQ(stats().message_rows, rows);
}

INSTANTIATE_TEST_SUITE_P(Seeds, ImageRandomTest, testing::Range(1U, 9U));

}  // namespace
}  // namespace harrier::persistence_tests
