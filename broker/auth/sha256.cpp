// SPDX-License-Identifier: Apache-2.0
#include "broker/auth/sha256.hpp"

#include <openssl/evp.h>

#include "protocol/check.hpp"

namespace harrier::broker {

std::array<std::uint8_t, 32> sha256(std::string_view bytes) {
  std::array<std::uint8_t, 32> hash{};
  unsigned size = 0;
  const int done =
      EVP_Digest(bytes.data(), bytes.size(), hash.data(), &size, EVP_sha256(), nullptr);
  HARRIER_CHECK(done == 1 && size == hash.size());
  return hash;
}

}  // namespace harrier::broker
