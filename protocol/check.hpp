// SPDX-License-Identifier: Apache-2.0
//
// HARRIER_CHECK: an assertion that stays on in release builds. For programmer errors only; what a
// peer or an operator can cause is reported as a value or an AmqpError. Failure ends the process.
#pragma once

namespace harrier::protocol {

[[noreturn]] void check_failed(const char* condition, const char* file, int line);

}  // namespace harrier::protocol

#define HARRIER_CHECK(condition)                     \
  (__builtin_expect(static_cast<bool>(condition), 1) \
       ? static_cast<void>(0)                        \
       : ::harrier::protocol::check_failed(#condition, __FILE__, __LINE__))
