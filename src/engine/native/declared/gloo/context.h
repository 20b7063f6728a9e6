// Declarations of Gloo for `ProcessGroupGloo.hpp`, which libtorch ships without Gloo's own headers (Gloo itself is inside libtorch_cpu).
//
// Why it is safe that these are not the real ones: we never make, copy, size, derive from or call one of these types. In libtorch's class they
// stand behind pointers, or as a base of nested classes (`GlooStore`) that only libtorch's own code makes: it emits their vtables, we
// emit none. What we make ourselves, `ProcessGroupGloo` and its `Options`, has the same layout for any Gloo.
#pragma once
#include <chrono>
#include <memory>
#include <string>
#include <vector>

namespace gloo {
namespace transport {
class Device;
class UnboundBuffer {
 public:
  virtual ~UnboundBuffer();
};
}  // namespace transport

class Context {
 public:
  void setTimeout(std::chrono::milliseconds timeout);
};

namespace rendezvous {
class Store {
 public:
  virtual ~Store();
  virtual void set(const std::string& key, const std::vector<char>& data) = 0;
  virtual std::vector<char> get(const std::string& key) = 0;
  virtual void wait(const std::vector<std::string>& keys) = 0;
  virtual void wait(const std::vector<std::string>& keys, const std::chrono::milliseconds& timeout) = 0;
};
}  // namespace rendezvous
}  // namespace gloo
