// SPDX-License-Identifier: Apache-2.0
//
// Text: immutable shared bytes in one block with their count and length (words of patterns, binding
// keys, argument tables; zeros fill the last 8 of them, so that they can be compared by machine
// words), and the hash that every map of this folder uses for text. The hash is the
// same in every run, so that tests and simulations repeat; who crafts collisions gets slower
// look-ups among the colliding keys, never wrong ones.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "routing/ref.hpp"
#include "routing/word_bytes.hpp"

namespace harrier::routing {

class Text : public RefCounted {
 public:
  static Ref<Text> make(std::string_view text);
  static void destroy(Text* text);

  std::string_view view() const { return {reinterpret_cast<const char*>(this + 1), size_}; }
  std::uint32_t size() const { return size_; }
  // The first 8 bytes as load_bytes() has them. Precondition: the text is not empty.
  std::uint64_t head() const { return load_word(this + 1); }

 private:
  explicit Text(std::uint32_t size) : size_(size) {}

  std::uint32_t size_;  // the bytes follow the object
};

constexpr std::uint64_t hash_id(std::uint64_t id) {
  id ^= id >> 30;
  id *= 0xbf58476d1ce4e5b9;
  id ^= id >> 27;
  id *= 0x94d049bb133111eb;
  return id ^ (id >> 31);
}

// The first `size` bytes, at most 8, as a number: the first is the lowest, and what is missing 0.
// With loads of fixed sizes, which are instructions; a copy of `size` bytes would be a call.
inline std::uint64_t load_bytes(const char* at, std::size_t size) {
  constexpr std::size_t kHalf = sizeof(std::uint32_t);
  std::uint64_t bytes = 0;
  if (size == kWordBytes) {
    bytes = load_word(at);
  } else if (size >= kHalf) {
    std::uint32_t first = 0;
    std::uint32_t last = 0;
    std::memcpy(&first, at, kHalf);
    std::memcpy(&last, at + size - kHalf, kHalf);
    bytes = first | std::uint64_t{last} << 8 * (size - kHalf);
  } else if (size > 0) {
    const auto byte = [at](std::size_t i) {
      return std::uint64_t{static_cast<unsigned char>(at[i])} << 8 * i;
    };
    bytes = byte(0) | byte(size / 2) | byte(size - 1);
  }
  return bytes;
}

inline constexpr std::uint64_t kHashMultiplier = 0x9fb21c651e98df25;

inline std::uint64_t hash_text(std::string_view text, std::uint64_t seed = 0) {
  std::uint64_t hash = (seed ^ text.size()) * kHashMultiplier;
  const char* at = text.data();
  std::size_t left = text.size();
  for (; left >= kWordBytes; at += kWordBytes, left -= kWordBytes) {
    hash = (hash ^ load_word(at)) * kHashMultiplier;
    hash ^= hash >> 29;
  }
  if (left > 0) hash = (hash ^ load_bytes(at, left)) * kHashMultiplier;
  return hash_id(hash);
}

// hash_text() of up to 7 bytes that have been loaded.
constexpr std::uint64_t hash_loaded(std::uint64_t bytes, std::size_t size) {
  return hash_id((size * kHashMultiplier ^ bytes) * kHashMultiplier);
}

}  // namespace harrier::routing
