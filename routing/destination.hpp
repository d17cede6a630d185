// SPDX-License-Identifier: Apache-2.0
//
// Destination: where a binding leads, a queue or an exchange. DestinationSet: the destinations of
// one binding key, each with the number of bindings that lead there (bindings that differ only in
// their arguments are told apart by the registry; here the count keeps the rest alive, C-537). It
// is a persistent value of 8 bytes: one destination is held in place, more in a shared map.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "routing/persistent_map.hpp"
#include "routing/text.hpp"
#include "routing/topology.hpp"

namespace harrier::routing {

class Destination {
 public:
  Destination() = default;
  explicit Destination(QueueId id) : packed_(static_cast<std::uint64_t>(id) << 1) {}
  explicit Destination(ExchangeId id) : packed_(static_cast<std::uint64_t>(id) << 1 | 1) {}
  static Destination unpack(std::uint64_t packed) {
    Destination destination;
    destination.packed_ = packed;
    return destination;
  }

  bool is_exchange() const { return (packed_ & 1) != 0; }
  QueueId queue() const { return static_cast<QueueId>(packed_ >> 1); }
  ExchangeId exchange() const { return static_cast<ExchangeId>(packed_ >> 1); }
  std::uint64_t packed() const { return packed_; }  // below 2^63 as long as ids are below 2^62

  friend bool operator==(Destination, Destination) = default;

 private:
  std::uint64_t packed_ = 0;
};

class DestinationSet {
 public:
  DestinationSet() = default;
  DestinationSet(const DestinationSet& other);
  DestinationSet(DestinationSet&& other) noexcept : bits_(std::exchange(other.bits_, 0)) {}
  DestinationSet& operator=(DestinationSet other) noexcept {
    std::swap(bits_, other.bits_);
    return *this;
  }
  ~DestinationSet();

  bool empty() const { return bits_ == 0; }
  std::size_t size() const;  // different destinations
  bool contains(Destination destination) const;

  void add(Destination destination);
  bool remove(Destination destination);  // one binding's worth; false if there is none

  // Returns the number of sets appended, 0 or 1: matchers add them up, and where one set is all
  // that was found there are no duplicates to look for.
  std::size_t append_to(std::vector<Destination>& out) const;

 private:
  struct Count {
    Destination destination;
    std::uint64_t bindings = 0;
  };
  struct CountTraits {
    using Entry = Count;
    using Key = Destination;
    static std::uint64_t hash(Key key) { return hash_id(key.packed()); }
    static Key key(const Entry& entry) { return entry.destination; }
    static bool equal(Key a, Key b) { return a == b; }
  };
  struct Many : RefCounted {
    static Many* clone(const Many& many) { return new Many(many); }
    PersistentMap<CountTraits> counts;
    std::size_t size = 0;
  };

  bool is_one() const { return (bits_ & 1) != 0; }
  bool is_many() const { return bits_ != 0 && !is_one(); }
  Destination one() const { return Destination::unpack(bits_ >> 1); }
  Many* many() const { return reinterpret_cast<Many*>(bits_); }
  Many& edit_many();

  std::uintptr_t bits_ = 0;  // 0, a packed destination << 1 | 1 (bound once), or a Many*
  static_assert(sizeof(std::uintptr_t) == sizeof(std::uint64_t));
};

}  // namespace harrier::routing
