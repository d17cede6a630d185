// SPDX-License-Identifier: Apache-2.0
#include "routing/text.hpp"

#include <algorithm>
#include <new>

namespace harrier::routing {

Ref<Text> Text::make(std::string_view text) {
  void* block = ::operator new(sizeof(Text) + text.size());
  Text* made = new (block) Text(static_cast<std::uint32_t>(text.size()));
  std::copy(text.begin(), text.end(), reinterpret_cast<char*>(made + 1));
  return Ref<Text>::adopt(made);
}

void Text::destroy(Text* text) {
  text->~Text();
  ::operator delete(text);
}

}  // namespace harrier::routing
