// SPDX-License-Identifier: Apache-2.0
//
// Access: what the user of one connection may do in its virtual host (section 10), with the answers
// that were positive lately. Owned by its session, on the session's thread. A refusal is thrown as
// AmqpError 403 with the texts of C-553 and C-555. Who may do everything pays one null test.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "broker/auth/authenticator.hpp"

namespace harrier::broker {

class Access {
 public:
  // Of `user` in `vhost`; whatever was allowed before is forgotten.
  void grant(VhostAccess granted, std::string user, std::string vhost);

  // False: every question below is answered with yes.
  bool restricted() const { return restricted_; }

  void need_exchange(Right right, std::string_view name) {
    if (restricted_) need(right, "exchange", name.empty() ? "amq.default" : name);  // C-554
  }
  void need_queue(Right right, std::string_view name) {
    if (restricted_) need(right, "queue", name);
  }
  // Any of the three; the refusal names configure (C-556).
  void need_some(std::string_view kind, std::string_view name);
  // On the keys of an exchange of type topic; where nothing is said about it any key is right.
  void need_topic(Right right, std::string_view exchange, std::string_view routing_key) const;

 private:
  static constexpr std::size_t kKeptMax = 12;  // C-560
  struct Kept {
    Right right{};
    std::string_view kind;  // of static texts
    std::string name;
  };

  bool has(Right right, std::string_view name) const;
  void need(Right right, std::string_view kind, std::string_view name);
  [[noreturn]] void refuse(Right right, std::string_view kind, std::string_view name) const;

  bool restricted_ = false;
  bool allowed_ = true;  // there is a row at all (C-559)
  PermissionPtr permission_;
  std::string user_;
  std::string vhost_;
  std::vector<Kept> kept_;
  std::size_t next_ = 0;  // to be replaced, once there are kKeptMax
};

}  // namespace harrier::broker
