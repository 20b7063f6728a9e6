// What libtorch offers to C++ and its Rust bindings do not: operators with a backward of their own, a leaky rectifier with a slope,
// the fused optimiser, gradients that are dropped instead of zeroed, a device allocator's cache and statistics, the rounding of products.

#include <ATen/Context.h>
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/leaky_relu.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <torch/csrc/autograd/custom_function.h>

#include "guarded.h"

using torch::autograd::AutogradContext;
using torch::autograd::Variable;
using torch::autograd::variable_list;

extern "C" {
// Gives the gradients of the `count` inputs that are `wanted`, each a tensor that the caller owns (null: no gradient); nonzero: failed,
// with the reason in `what`. `kept` of the inputs are there: all, or none.
typedef int (*opus_backward)(void* state, at::Tensor* const* inputs, size_t kept, size_t count, at::Tensor* gradient,
                             const unsigned char* wanted, at::Tensor** gradients, char* what, size_t room);
typedef void (*opus_release)(void* state);
}

namespace {

// Owns the Rust side of an operator for as long as the graph needs it.
struct State : torch::CustomClassHolder {
  void* state;
  opus_backward backward;
  opus_release release;
  State(void* state, opus_backward backward, opus_release release) : state(state), backward(backward), release(release) {}
  ~State() override { release(state); }
};

// An output that Rust has computed already takes its place in the graph. (By pointer: it must not count as an input.)
struct Attached : torch::autograd::Function<Attached> {
  static Variable forward(AutogradContext* context, at::TensorList inputs, bool keep, at::Tensor* output,
                          const c10::intrusive_ptr<State>& state) {
    if (keep) context->save_for_backward(inputs.vec());
    context->saved_data["count"] = static_cast<int64_t>(inputs.size());
    context->saved_data["state"] = c10::IValue::make_capsule(state);
    return *output;
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    auto inputs = context->get_saved_variables();
    auto capsule = context->saved_data["state"].toCapsule();
    auto* state = static_cast<State*>(capsule.get());
    const auto count = static_cast<size_t>(context->saved_data["count"].toInt());
    std::vector<at::Tensor*> given, found(count, nullptr);
    std::vector<unsigned char> wanted(count);
    for (at::Tensor& input : inputs) given.push_back(&input);
    for (size_t i = 0; i < count; ++i) wanted[i] = context->needs_input_grad(i);
    char what[1024] = "";
    const int failed =
        state->backward(state->state, given.data(), given.size(), count, &gradients[0], wanted.data(), found.data(), what, sizeof what);
    variable_list results;
    for (at::Tensor* gradient : found) {
      results.push_back(gradient ? *gradient : at::Tensor());
      delete gradient;
    }
    TORCH_CHECK(!failed, what);
    results.emplace_back();  // of whether inputs are kept
    results.emplace_back();  // of the output that was handed in
    results.emplace_back();  // of the state
    return results;
  }
};

}  // namespace

extern "C" {

// Ties `output`, computed from `inputs`, to the graph; `result` is owned by the caller. Takes `state` over in any case. Inputs are kept for
// the backward pass where it is to see them.
int opus_attach(at::Tensor* const* inputs, size_t count, int keep, at::Tensor* output, void* state, opus_backward backward, opus_release release,
                at::Tensor** result, char* what, size_t room) {
  auto owned = c10::make_intrusive<State>(state, backward, release);
  return guarded(what, room, [&] {
    std::vector<at::Tensor> list;
    for (size_t i = 0; i < count; ++i) list.push_back(*inputs[i]);
    *result = new at::Tensor(Attached::apply(at::TensorList(list), keep != 0, output, owned));
  });
}

// In place, with a slope.
int opus_leaky_relu_(at::Tensor* x, double slope, char* what, size_t room) {
  return guarded(what, room, [&] { at::leaky_relu_(*x, slope); });
}

// Forgets a gradient, so that the next backward hands its own over without adding.
int opus_drop_gradient(at::Tensor* x, char* what, size_t room) {
  return guarded(what, room, [&] { x->mutable_grad() = at::Tensor(); });
}

// Gives a tensor its gradient.
int opus_set_gradient(at::Tensor* x, at::Tensor* gradient, char* what, size_t room) {
  return guarded(what, room, [&] { x->mutable_grad() = *gradient; });
}

// One AdamW step of all parameters; `steps` are one-element tensors beside them that count the steps.
int opus_fused_adamw_(at::Tensor* const* values, at::Tensor* const* gradients, at::Tensor* const* first, at::Tensor* const* second,
                      at::Tensor* const* steps, size_t count, double rate, double beta1, double beta2, double decay, double epsilon,
                      char* what, size_t room) {
  return guarded(what, room, [&] {
    at::NoGradGuard no_grad;
    auto list = [count](at::Tensor* const* tensors) {
      std::vector<at::Tensor> list;
      for (size_t i = 0; i < count; ++i) list.push_back(*tensors[i]);
      return list;
    };
    at::_fused_adamw_(list(values), list(gradients), list(first), list(second), {}, list(steps), rate, beta1, beta2, decay, epsilon,
                      /*amsgrad=*/false, /*maximize=*/false);
  });
}

// Whether cuDNN's single-precision convolutions may round what they multiply to TF32; gives what it was.
int opus_allow_tf32(int allow, int* before, char* what, size_t room) {
  return guarded(what, room, [&] {
    *before = at::globalContext().allowTF32CuDNN();
    at::globalContext().setAllowTF32CuDNN(allow != 0);
  });
}

// Gives the blocks that the devices' allocator keeps for later back to the driver.
int opus_empty_device_cache(char* what, size_t room) {
  return guarded(what, room, [] { c10::getDeviceAllocator(c10::kCUDA)->emptyCache(); });
}

// Largest number of bytes that a device's allocator had handed out since the last reset; resets where asked.
int opus_device_peak(signed char device, int reset, int64_t* bytes, char* what, size_t room) {
  return guarded(what, room, [&] {
    auto* allocator = c10::getDeviceAllocator(c10::kCUDA);
    const auto all = static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE);
    *bytes = allocator->getDeviceStats(device).allocated_bytes[all].peak;
    if (reset) allocator->resetPeakStats(device);
  });
}

}  // extern "C"
