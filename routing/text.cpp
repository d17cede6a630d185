// SPDX-License-Identifier: Apache-2.0
#include "routing/text.hpp"

#include <algorithm>
#include <new>

namespace harrier::routing {

Ref<Text> Text::make(std::string_view text) {
  const std::size_t padded = (text.size() + kWordBytes - 1) / kWordBytes * kWordBytes;
  void* block = ::operator new(sizeof(Text) + padded);
  Text* made = new (block) Text(static_cast<std::uint32_t>(text.size()));
  char* bytes = reinterpret_cast<char*>(made + 1);
  std::fill(std::copy(text.begin(), text.end(), bytes), bytes + padded, '\0');
  return Ref<Text>::adopt(made);
}

void Text::destroy(Text* text) {
  text->~Text();
  ::operator delete(text);
}

}  // namespace harrier::routing
