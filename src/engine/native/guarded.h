// No exception may cross into Rust: every function of the bridge returns 0, or 1 with the reason in `what`.
#pragma once
#include <cstddef>
#include <cstring>
#include <exception>

template <typename Work>
int guarded(char* what, size_t room, Work work) {
  try {
    work();
    return 0;
  } catch (const std::exception& error) {
    if (room > 0) {
      std::strncpy(what, error.what(), room - 1);
      what[room - 1] = 0;
    }
    return 1;
  }
}
