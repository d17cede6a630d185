// SPDX-License-Identifier: Apache-2.0
//
// Pages: messages of a queue as MessageStore::fetch gives them, from a view of the layers or from
// an image alone. Reads from the disk, so on the store's reading thread. Failure: a Status that
// says which message could not be read.
#pragma once

#include "persistence/layers.hpp"

namespace harrier::persistence {

// The view was taken with the same queue, position and size.
Fetched read_page(QueueView& view, QueueId queue, Seq from, std::size_t bytes_max);
Fetched read_page(Image::Snapshot& snapshot, QueueId queue, Seq from, std::size_t bytes_max);

}  // namespace harrier::persistence
