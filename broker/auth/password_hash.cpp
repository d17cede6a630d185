// SPDX-License-Identifier: Apache-2.0
#include "broker/auth/password_hash.hpp"

#include <algorithm>
#include <memory>
#include <span>
#include <stdexcept>

#include <openssl/crypto.h>
#include <openssl/evp.h>

namespace harrier::broker {
namespace {

using Octets = std::vector<std::uint8_t>;

struct FreeDigest {
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
};

const EVP_MD* digest_of(HashAlgorithm algorithm) {
  return algorithm == HashAlgorithm::Sha256 ? EVP_sha256() : EVP_sha512();
}

std::size_t hash_bytes(HashAlgorithm algorithm) {
  return algorithm == HashAlgorithm::Sha256 ? 32 : 64;
}

// Fails for want of memory only, or of a library that knows these functions.
Octets salted_hash(HashAlgorithm algorithm, std::span<const std::uint8_t> salt,
                   std::string_view password) {
  const std::unique_ptr<EVP_MD_CTX, FreeDigest> context(EVP_MD_CTX_new());
  Octets hash(hash_bytes(algorithm));
  unsigned size = 0;
  const bool done = context != nullptr &&
                    EVP_DigestInit_ex(context.get(), digest_of(algorithm), nullptr) == 1 &&
                    EVP_DigestUpdate(context.get(), salt.data(), salt.size()) == 1 &&
                    EVP_DigestUpdate(context.get(), password.data(), password.size()) == 1 &&
                    EVP_DigestFinal_ex(context.get(), hash.data(), &size) == 1;
  if (!done || size != hash.size()) throw std::runtime_error("OpenSSL cannot hash a password");
  return hash;
}

// Strict: whole groups, padding at the end only, no white space.
std::optional<Octets> decode_base64(std::string_view text) {
  constexpr std::size_t kTextMax = 256;  // of the longest hash there is
  if (text.size() % 4 != 0 || text.size() > kTextMax) return std::nullopt;
  Octets bytes(text.size() / 4 * 3);
  const int size =
      EVP_DecodeBlock(bytes.data(), reinterpret_cast<const unsigned char*>(text.data()),
                      static_cast<int>(text.size()));
  if (size < 0 || static_cast<std::size_t>(size) != bytes.size()) return std::nullopt;
  const std::size_t padding = text.ends_with("==") ? 2 : text.ends_with("=") ? 1 : 0;
  if (text.find('=') < text.size() - padding) return std::nullopt;
  bytes.resize(bytes.size() - padding);
  return bytes;
}

}  // namespace

std::string_view name(HashAlgorithm algorithm) {
  return algorithm == HashAlgorithm::Sha256 ? "rabbit_password_hashing_sha256"
                                            : "rabbit_password_hashing_sha512";
}

std::optional<HashAlgorithm> parse_hash_algorithm(std::string_view text) {
  for (const HashAlgorithm algorithm : {HashAlgorithm::Sha256, HashAlgorithm::Sha512}) {
    if (name(algorithm) == text) return algorithm;
  }
  return std::nullopt;
}

std::optional<PasswordHash> PasswordHash::parse(HashAlgorithm algorithm, std::string_view base64) {
  PasswordHash made;
  made.algorithm_ = algorithm;
  if (base64.empty()) return made;
  auto bytes = decode_base64(base64);
  if (!bytes || bytes->size() != kSaltBytes + hash_bytes(algorithm)) return std::nullopt;
  made.bytes_ = *std::move(bytes);
  return made;
}

PasswordHash PasswordHash::make(HashAlgorithm algorithm, std::string_view password,
                                const Salt& salt) {
  PasswordHash made;
  made.algorithm_ = algorithm;
  made.bytes_.assign(salt.begin(), salt.end());
  const Octets hash = salted_hash(algorithm, salt, password);
  made.bytes_.insert(made.bytes_.end(), hash.begin(), hash.end());
  return made;
}

bool PasswordHash::verifies(std::string_view password) const {
  static constexpr Salt kNoSalt{};
  const std::span<const std::uint8_t> stored(bytes_);
  const auto salt = empty() ? std::span<const std::uint8_t>(kNoSalt) : stored.first(kSaltBytes);
  const Octets hash = salted_hash(algorithm_, salt, password);
  if (empty()) return false;
  return CRYPTO_memcmp(hash.data(), stored.data() + kSaltBytes, hash.size()) == 0;
}

std::string PasswordHash::base64() const {
  std::string text((bytes_.size() + 2) / 3 * 4 + 1, '\0');
  const int size = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()), bytes_.data(),
                                   static_cast<int>(bytes_.size()));
  text.resize(static_cast<std::size_t>(size));
  return text;
}

}  // namespace harrier::broker
