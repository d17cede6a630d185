// SPDX-License-Identifier: Apache-2.0
//
// Image::Reader: a reading transaction and its cursor over the messages, kept between snapshots: to
// renew them costs no allocation and no lock. Owned by a snapshot, or idle in the image.
// Included by the image's sources only.
#pragma once

#include "persistence/image.hpp"

namespace harrier::persistence {

struct Image::Reader {
  ~Reader() { messages.close(); }  // before the transaction, which members' order would put first

  lmdb::Transaction transaction;
  lmdb::Cursor messages;
};

}  // namespace harrier::persistence
