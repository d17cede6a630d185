// SPDX-License-Identifier: Apache-2.0
//
// PasswordHash: what is kept of a password: base64(salt, hash(salt, password)) with SHA-256 or
// SHA-512 and a salt of four bytes, the form that RabbitMQ's and LavinMQ's exported definitions
// have. A value; any thread may verify. An empty hash never verifies (C-037).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace harrier::broker {

enum class HashAlgorithm : std::uint8_t { Sha256, Sha512 };
std::string_view name(HashAlgorithm algorithm);  // "rabbit_password_hashing_sha256"
std::optional<HashAlgorithm> parse_hash_algorithm(std::string_view name);

class PasswordHash {
 public:
  static constexpr std::size_t kSaltBytes = 4;
  using Salt = std::array<std::uint8_t, kSaltBytes>;

  PasswordHash() = default;  // of no password

  // nullopt: not base64, or not as long as salt and hash are. "" is the hash of no password.
  static std::optional<PasswordHash> parse(HashAlgorithm algorithm, std::string_view base64);
  static PasswordHash make(HashAlgorithm algorithm, std::string_view password, const Salt& salt);

  // In a time that does not depend on what is stored.
  bool verifies(std::string_view password) const;
  bool empty() const { return bytes_.empty(); }
  HashAlgorithm algorithm() const { return algorithm_; }
  std::string base64() const;

  friend bool operator==(const PasswordHash&, const PasswordHash&) = default;

 private:
  HashAlgorithm algorithm_ = HashAlgorithm::Sha256;
  std::vector<std::uint8_t> bytes_;  // salt, hash
};

}  // namespace harrier::broker
