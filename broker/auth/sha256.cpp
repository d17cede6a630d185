// SPDX-License-Identifier: Apache-2.0
#include "broker/auth/sha256.hpp"

#include <memory>

#include <openssl/evp.h>

#include "protocol/check.hpp"

namespace harrier::broker {
namespace {

struct Free {
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
};

// Each digest of its own would look the algorithm up again, under locks of the whole process.
const EVP_MD* algorithm() {
  static const EVP_MD* const fetched = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  return fetched;
}

}  // namespace

std::array<std::uint8_t, 32> sha256(std::string_view bytes) {
  thread_local const std::unique_ptr<EVP_MD_CTX, Free> context(EVP_MD_CTX_new());
  std::array<std::uint8_t, 32> hash{};
  unsigned size = 0;
  const bool done = EVP_DigestInit_ex2(context.get(), algorithm(), nullptr) == 1 &&
                    EVP_DigestUpdate(context.get(), bytes.data(), bytes.size()) == 1 &&
                    EVP_DigestFinal_ex(context.get(), hash.data(), &size) == 1;
  HARRIER_CHECK(done && size == hash.size());
  return hash;
}

}  // namespace harrier::broker
