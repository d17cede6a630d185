// SPDX-License-Identifier: Apache-2.0
//
// Golden wire bytes: decode, print, re-encode identically, in every chunking. The files say where
// their bytes come from.
#include <fstream>
#include <set>

#include <gtest/gtest.h>

#include "protocol/codec.hpp"
#include "protocol/value_text.hpp"
#include "tests/unit/protocol/random_values.hpp"

namespace harrier::protocol {
namespace {

using Bytes = std::vector<std::uint8_t>;

struct Golden {
  std::string text;
  Bytes bytes;
};

Bytes from_hex(const std::string& hex) {
  Bytes out;
  if (hex == "-") return out;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
    out.push_back(static_cast<std::uint8_t>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  }
  return out;
}

std::vector<Golden> read_golden(const std::string& name) {
  std::ifstream file(HARRIER_GOLDEN_DIR "/" + name);
  std::vector<Golden> out;
  std::string text, hex;
  while (std::getline(file, text)) {
    if (text.empty() || text.starts_with('#')) continue;
    std::getline(file, hex);
    out.push_back({text, from_hex(hex)});
  }
  return out;
}

TEST(Golden, MethodsDecodePrintAndEncode) {
  const std::vector<Golden> entries = read_golden("methods.txt");
  std::set<std::string_view> seen;
  for (const Golden& golden : entries) {
    Method method;
    ASSERT_EQ(decode_method(golden.bytes, method), DecodeStatus::Ok) << golden.text;
    EXPECT_EQ(print(method), golden.text);
    EXPECT_EQ(testing::encoded(method), golden.bytes) << golden.text;
    std::string error;
    const auto parsed = parse_method(golden.text, error);
    ASSERT_TRUE(parsed.has_value()) << golden.text << "\n" << error;
    EXPECT_EQ(testing::encoded(parsed->get()), golden.bytes) << golden.text;
    seen.insert(name_of(method));
  }
  EXPECT_EQ(seen.size(), std::variant_size_v<Method>);
}

TEST(Golden, Tables) {
  const std::vector<Golden> entries = read_golden("tables.txt");
  ASSERT_GT(entries.size(), 20u);
  for (const Golden& golden : entries) {
    ASSERT_TRUE(validate_table(golden.bytes)) << golden.text;
    EXPECT_EQ(table_text(TableView(golden.bytes), ValueText::Typed), golden.text);
    TextReader reader(golden.text);
    const Table parsed = parse_table(reader);
    ASSERT_TRUE(reader.ok()) << golden.text << "\n" << reader.error();
    EXPECT_EQ(as_text(parsed.view().bytes()), as_text(golden.bytes)) << golden.text;
  }
}

Bytes golden_stream(std::vector<Golden>& entries) {
  entries = read_golden("methods.txt");
  Bytes stream;
  std::uint16_t channel = 0;
  for (const Golden& golden : entries) {
    Bytes head(kFrameHeaderSize);
    put_frame_header(head.data(), FrameType::Method, channel++, golden.bytes.size());
    stream.insert(stream.end(), head.begin(), head.end());
    stream.insert(stream.end(), golden.bytes.begin(), golden.bytes.end());
    stream.push_back(kFrameEnd);
  }
  return stream;
}

// Feeds the stream in pieces of `chunk` bytes, as a connection would.
void expect_frames(const Bytes& stream, const std::vector<Golden>& entries, std::size_t chunk) {
  Bytes buffer;
  std::size_t fed = 0;
  std::size_t frames = 0;
  while (fed < stream.size()) {
    const std::size_t size = std::min(chunk, stream.size() - fed);
    const auto from = stream.begin() + static_cast<std::ptrdiff_t>(fed);
    buffer.insert(buffer.end(), from, from + static_cast<std::ptrdiff_t>(size));
    fed += size;
    for (;;) {
      const FrameResult result = read_frame(buffer, 4096);
      if (result.status == FrameStatus::Incomplete) break;
      ASSERT_EQ(result.status, FrameStatus::Complete);
      ASSERT_LT(frames, entries.size());
      ASSERT_EQ(result.frame.channel, frames);
      Method method;
      ASSERT_EQ(decode_method(result.frame.payload, method), DecodeStatus::Ok);
      ASSERT_EQ(print(method), entries[frames].text);
      ++frames;
      buffer.erase(buffer.begin(), buffer.begin() + static_cast<std::ptrdiff_t>(result.size));
    }
  }
  EXPECT_EQ(frames, entries.size());
  EXPECT_TRUE(buffer.empty());
}

TEST(Golden, EveryChunkingGivesTheSameFrames) {
  std::vector<Golden> entries;
  const Bytes stream = golden_stream(entries);
  ASSERT_GT(stream.size(), 1000u);
  for (std::size_t chunk = 1; chunk <= 128; ++chunk) {
    SCOPED_TRACE(chunk);
    ASSERT_NO_FATAL_FAILURE(expect_frames(stream, entries, chunk));
  }
  ASSERT_NO_FATAL_FAILURE(expect_frames(stream, entries, stream.size()));
}

TEST(Golden, EveryCutOfEveryFrame) {
  std::vector<Golden> entries;
  const Bytes stream = golden_stream(entries);
  ByteView rest(stream);
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const FrameResult whole = read_frame(rest, 4096);
    ASSERT_EQ(whole.status, FrameStatus::Complete);
    for (std::size_t cut = 0; cut < whole.size; ++cut) {
      ASSERT_EQ(read_frame(rest.first(cut), 4096).status, FrameStatus::Incomplete);
    }
    rest = rest.subspan(whole.size);
  }
  EXPECT_TRUE(rest.empty());
}

}  // namespace
}  // namespace harrier::protocol
