//! The bridge to what libtorch offers to C++ and its Rust bindings do not (`native/bridge.cpp`).

use crate::devices::panic_text;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use tch::{Kind, Tensor, no_grad};
use torch_sys::C_tensor;

/// Room for the reason of a failure, bytes.
const REASON_BYTES: usize = 1024;

type Backward = extern "C" fn(
    *mut c_void,
    *const *mut C_tensor,
    usize,
    usize,
    *mut C_tensor,
    *const u8,
    *mut *mut C_tensor,
    *mut c_char,
    usize,
) -> c_int;
type Release = extern "C" fn(*mut c_void);

unsafe extern "C" {
    fn opus_attach(
        inputs: *const *mut C_tensor,
        count: usize,
        keep: c_int,
        output: *mut C_tensor,
        state: *mut c_void,
        backward: Backward,
        release: Release,
        result: *mut *mut C_tensor,
        what: *mut c_char,
        room: usize,
    ) -> c_int;
    fn opus_leaky_relu_(x: *mut C_tensor, slope: f64, what: *mut c_char, room: usize) -> c_int;
    fn opus_drop_gradient(x: *mut C_tensor, what: *mut c_char, room: usize) -> c_int;
    fn opus_set_gradient(x: *mut C_tensor, gradient: *mut C_tensor, what: *mut c_char, room: usize) -> c_int;
    fn opus_fused_adamw_(
        values: *const *mut C_tensor,
        gradients: *const *mut C_tensor,
        first: *const *mut C_tensor,
        second: *const *mut C_tensor,
        steps: *const *mut C_tensor,
        count: usize,
        rate: f64,
        beta1: f64,
        beta2: f64,
        decay: f64,
        epsilon: f64,
        what: *mut c_char,
        room: usize,
    ) -> c_int;
    fn opus_allow_tf32(allow: c_int, before: *mut c_int, what: *mut c_char, room: usize) -> c_int;
    fn opus_empty_device_cache(what: *mut c_char, room: usize) -> c_int;
    fn opus_device_peak(device: i8, reset: c_int, bytes: *mut i64, what: *mut c_char, room: usize) -> c_int;
}

/// Calls into the bridge.
///
/// # Panics
/// With libtorch's reason, as its Rust bindings do.
fn call(work: impl FnOnce(*mut c_char, usize) -> c_int) {
    if let Err(reason) = try_call(work) {
        panic!("{reason}");
    }
}

/// Calls into the bridge.
///
/// # Errors
/// libtorch's reason.
pub(crate) fn try_call(work: impl FnOnce(*mut c_char, usize) -> c_int) -> Result<(), String> {
    let mut reason = [0 as c_char; REASON_BYTES];
    if work(reason.as_mut_ptr(), reason.len()) == 0 {
        return Ok(());
    }
    // SAFETY: the bridge ends every reason with a zero inside the room.
    let text = unsafe { CStr::from_ptr(reason.as_ptr()) };
    Err(text.to_string_lossy().into_owned())
}

/// An operator whose backward is its own.
pub trait Operator: Send + Sync + 'static {
    /// The result for detached inputs.
    fn forward(&self, inputs: &[Tensor]) -> Tensor;

    /// Gradients of the inputs that are `wanted`, for the gradient of the result. `inputs` are those of [`Self::forward`], or none where
    /// they are not [needed](Self::needs_inputs).
    fn backward(&self, inputs: &[Tensor], gradient: &Tensor, wanted: &[bool]) -> Vec<Option<Tensor>>;

    /// Whether the backward pass looks at the inputs: they are kept for it.
    fn needs_inputs(&self) -> bool {
        true
    }
}

/// Applies an operator; its result takes part in the graph where an input does.
pub fn apply(operator: Arc<dyn Operator>, inputs: &[&Tensor]) -> Tensor {
    let detached: Vec<Tensor> = inputs.iter().map(|input| input.detach()).collect();
    let mut output = no_grad(|| operator.forward(&detached));
    let mut owned: Vec<Tensor> = inputs.iter().map(|input| input.shallow_clone()).collect();
    let pointers: Vec<*mut C_tensor> = owned.iter_mut().map(Tensor::as_mut_ptr).collect();
    let keep = c_int::from(operator.needs_inputs());
    let state = Box::into_raw(Box::new(operator)).cast::<c_void>();
    let mut result = std::ptr::null_mut();
    // SAFETY: every pointer outlives the call; the bridge owns `state` from here on and releases it once.
    call(|what, room| unsafe {
        opus_attach(pointers.as_ptr(), pointers.len(), keep, output.as_mut_ptr(), state, backward, release, &raw mut result, what, room)
    });
    // SAFETY: the bridge made the tensor and gives it away.
    unsafe { Tensor::from_ptr(result) }
}

/// What [`recomputed`] runs twice.
struct Recomputed<M> {
    module: Mutex<M>,
    parameters: Mutex<Vec<Tensor>>,
    work: fn(&M, &Tensor) -> Tensor,
}

impl<M: Send + 'static> Recomputed<M> {
    fn run(&self, x: &Tensor) -> Tensor {
        (self.work)(&self.module.lock().unwrap_or_else(PoisonError::into_inner), x)
    }
}

impl<M: Send + 'static> Operator for Recomputed<M> {
    fn forward(&self, inputs: &[Tensor]) -> Tensor {
        self.run(&inputs[0])
    }

    fn backward(&self, inputs: &[Tensor], gradient: &Tensor, wanted: &[bool]) -> Vec<Option<Tensor>> {
        tch::with_grad(|| {
            let x = inputs[0].detach().set_requires_grad(wanted[0]);
            let output = (self.run(&x) * gradient).sum(Kind::Float);
            let parameters = self.parameters.lock().unwrap_or_else(PoisonError::into_inner);
            let all = std::iter::once(&x).chain(parameters.iter());
            let targets: Vec<&Tensor> = all.zip(wanted).filter(|(_, wanted)| **wanted).map(|(tensor, _)| tensor).collect();
            let mut found = Tensor::run_backward(&[&output], &targets, false, false).into_iter();
            wanted.iter().map(|&wanted| if wanted { found.next() } else { None }).collect()
        })
    }
}

/// `work(module, x)` without keeping what its backward pass needs: it is worked out again then. `parameters` are the module's learned tensors.
pub fn recomputed<M: Send + 'static>(module: M, parameters: Vec<Tensor>, x: &Tensor, work: fn(&M, &Tensor) -> Tensor) -> Tensor {
    let held: Vec<Tensor> = parameters.iter().map(Tensor::shallow_clone).collect();
    let inputs: Vec<&Tensor> = std::iter::once(x).chain(&parameters).collect();
    apply(Arc::new(Recomputed { module: Mutex::new(module), parameters: Mutex::new(held), work }), &inputs)
}

extern "C" fn release(state: *mut c_void) {
    // SAFETY: `state` is the box that `apply` gave away, and is released once.
    drop(unsafe { Box::from_raw(state.cast::<Arc<dyn Operator>>()) });
}

extern "C" fn backward(
    state: *mut c_void,
    inputs: *const *mut C_tensor,
    kept: usize,
    count: usize,
    gradient: *mut C_tensor,
    wanted: *const u8,
    gradients: *mut *mut C_tensor,
    what: *mut c_char,
    room: usize,
) -> c_int {
    let work = || {
        // SAFETY: the bridge gives its state, `kept` inputs, `count` flags and places for results, all alive during the call.
        let (operator, inputs, wanted, places) = unsafe {
            (
                &*state.cast::<Arc<dyn Operator>>(),
                std::slice::from_raw_parts(inputs, kept),
                std::slice::from_raw_parts(wanted, count),
                std::slice::from_raw_parts_mut(gradients, count),
            )
        };
        // SAFETY: live tensors, of which shallow copies are made.
        let copy = |pointer: *mut C_tensor| unsafe { Tensor::clone_from_ptr(pointer) }.detach();
        let inputs: Vec<Tensor> = inputs.iter().map(|&input| copy(input)).collect();
        let wanted: Vec<bool> = wanted.iter().map(|&flag| flag != 0).collect();
        let found = no_grad(|| operator.backward(&inputs, &copy(gradient), &wanted));
        for (place, found) in places.iter_mut().zip(found) {
            if let Some(mut tensor) = found {
                *place = tensor.as_mut_ptr();
                // The bridge deletes it.
                std::mem::forget(tensor);
            }
        }
    };
    // A panic must not cross into C++; what it said does, so that a lack of memory is still known as one.
    let Err(panic) = catch_unwind(AssertUnwindSafe(work)) else { return 0 };
    let text = panic_text(panic.as_ref()).as_bytes();
    let length = text.len().min(room.saturating_sub(1));
    if room > 0 {
        // SAFETY: the bridge gives `room` bytes that are alive during the call.
        let place = unsafe { std::slice::from_raw_parts_mut(what.cast::<u8>(), room) };
        place[..length].copy_from_slice(&text[..length]);
        place[length] = 0;
    }
    1
}

/// Leaky rectifier in place; `x` must not be needed by the backward of what made it (affine layers do not need theirs).
pub fn leaky_relu_(mut x: Tensor, slope: f64) -> Tensor {
    // SAFETY: `x` is alive during the call.
    call(|what, room| unsafe { opus_leaky_relu_(x.as_mut_ptr(), slope, what, room) });
    x
}

/// Forgets a tensor's gradient.
pub fn drop_gradient(x: &mut Tensor) {
    // SAFETY: `x` is alive during the call.
    call(|what, room| unsafe { opus_drop_gradient(x.as_mut_ptr(), what, room) });
}

/// Gives a tensor its gradient, in place of the one that it had.
pub fn set_gradient(x: &mut Tensor, gradient: &mut Tensor) {
    // SAFETY: both are alive during the call, and tensors count their owners.
    call(|what, room| unsafe { opus_set_gradient(x.as_mut_ptr(), gradient.as_mut_ptr(), what, room) });
}

/// Constants of AdamW.
#[derive(Clone, Copy, Debug)]
pub struct AdamWStep {
    /// Learning rate.
    pub rate: f64,
    /// Decay of the mean gradient and of the mean squared gradient.
    pub betas: (f64, f64),
    /// Decoupled weight decay.
    pub decay: f64,
    /// Keeps the step finite where gradients vanish.
    pub epsilon: f64,
}

/// Parameters of an optimiser, one entry each; `steps` are one-element tensors that count.
#[derive(Default)]
pub struct AdamWTensors {
    /// What is learned.
    pub values: Vec<Tensor>,
    /// Gradients.
    pub gradients: Vec<Tensor>,
    /// Mean gradients.
    pub first: Vec<Tensor>,
    /// Mean squared gradients.
    pub second: Vec<Tensor>,
    /// Steps, this one included.
    pub steps: Vec<Tensor>,
}

/// One fused AdamW step of all parameters.
pub fn fused_adamw(mut tensors: AdamWTensors, step: AdamWStep) {
    let pointers = |list: &mut Vec<Tensor>| list.iter_mut().map(Tensor::as_mut_ptr).collect::<Vec<_>>();
    let values = pointers(&mut tensors.values);
    let (gradients, first) = (pointers(&mut tensors.gradients), pointers(&mut tensors.first));
    let (second, steps) = (pointers(&mut tensors.second), pointers(&mut tensors.steps));
    let AdamWStep { rate, betas, decay, epsilon } = step;
    let count = values.len();
    assert!([&gradients, &first, &second, &steps].iter().all(|list| list.len() == count), "an entry a parameter");
    // SAFETY: all tensors are alive during the call and every list has `count` of them.
    call(|what, room| unsafe {
        opus_fused_adamw_(
            values.as_ptr(),
            gradients.as_ptr(),
            first.as_ptr(),
            second.as_ptr(),
            steps.as_ptr(),
            count,
            rate,
            betas.0,
            betas.1,
            decay,
            epsilon,
            what,
            room,
        )
    });
}

/// Whether convolutions of single-precision numbers on GPUs may round what they multiply to TF32; returns what it was.
pub fn allow_tf32(allow: bool) -> bool {
    let mut before = 0;
    // SAFETY: `before` is alive during the call.
    call(|what, room| unsafe { opus_allow_tf32(c_int::from(allow), &raw mut before, what, room) });
    before != 0
}

/// Gives the blocks that the GPUs' allocator keeps for later back to the driver.
pub fn empty_device_cache() {
    // SAFETY: no pointers but the reason's.
    call(|what, room| unsafe { opus_empty_device_cache(what, room) });
}

/// Most bytes that a GPU's allocator had handed out since the last reset.
#[must_use]
pub fn device_peak_bytes(device: usize, reset: bool) -> u64 {
    let mut bytes = 0i64;
    // SAFETY: `bytes` is alive during the call.
    call(|what, room| unsafe { opus_device_peak(i8::try_from(device).unwrap_or(i8::MAX), c_int::from(reset), &raw mut bytes, what, room) });
    u64::try_from(bytes).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    /// Twice the product of two tensors.
    struct Doubled;

    impl Operator for Doubled {
        fn forward(&self, inputs: &[Tensor]) -> Tensor {
            &inputs[0] * &inputs[1] * 2.0
        }

        fn backward(&self, inputs: &[Tensor], gradient: &Tensor, wanted: &[bool]) -> Vec<Option<Tensor>> {
            vec![wanted[0].then(|| gradient * &inputs[1] * 2.0), wanted[1].then(|| gradient * &inputs[0] * 2.0)]
        }
    }

    struct Failing;

    impl Operator for Failing {
        fn forward(&self, inputs: &[Tensor]) -> Tensor {
            inputs[0].copy()
        }

        fn backward(&self, _: &[Tensor], _: &Tensor, _: &[bool]) -> Vec<Option<Tensor>> {
            panic!("no gradient today")
        }
    }

    fn values(values: &[f32]) -> Tensor {
        Tensor::from_slice(values)
    }

    #[test]
    fn an_operator_takes_part_in_the_graph() {
        crate::torch::init_torch().unwrap();
        let a = values(&[1.0, 2.0, 3.0]).set_requires_grad(true);
        let b = values(&[4.0, 5.0, 6.0]);
        let product = apply(Arc::new(Doubled), &[&(&a * 3.0), &b]);
        assert!(product.requires_grad());
        assert_eq!(Vec::<f32>::try_from(product.detach()).unwrap(), [24.0, 60.0, 108.0]);
        (product.square().sum(Kind::Float)).backward();
        // d/da (6ab)² = 72 a b²
        assert_eq!(Vec::<f32>::try_from(a.grad()).unwrap(), [1152.0, 3600.0, 7776.0]);
        assert!(!apply(Arc::new(Doubled), &[&b, &b]).requires_grad());
        let failing = apply(Arc::new(Failing), &[&a]).sum(Kind::Float);
        assert!(failing.f_backward().unwrap_err().to_string().contains("no gradient today"));
        let mut a = a;
        drop_gradient(&mut a);
        assert!(!a.grad().defined());
    }

    #[test]
    fn states_are_released_once() {
        crate::torch::init_torch().unwrap();
        struct Counted(Arc<()>);
        impl Operator for Counted {
            fn forward(&self, inputs: &[Tensor]) -> Tensor {
                assert!(Arc::strong_count(&self.0) > 0);
                inputs[0].copy()
            }
            fn backward(&self, _: &[Tensor], gradient: &Tensor, _: &[bool]) -> Vec<Option<Tensor>> {
                vec![Some(gradient.shallow_clone())]
            }
        }
        let alive = Arc::new(());
        let a = values(&[1.0]).set_requires_grad(true);
        for backward in [true, false] {
            let result = apply(Arc::new(Counted(Arc::clone(&alive))), &[&a]);
            assert_eq!(Arc::strong_count(&alive), 2);
            if backward {
                result.sum(Kind::Float).backward();
            }
            drop(result);
            assert_eq!(Arc::strong_count(&alive), 1);
        }
    }

    #[test]
    fn what_is_worked_out_again_has_the_same_gradients() {
        crate::torch::init_torch().unwrap();
        let weight = values(&[2.0, -1.0, 0.5]).set_requires_grad(true);
        let work = |weight: &Tensor, x: &Tensor| leaky_relu_((weight * x).square() - x, 0.2);
        let gradients = |again: bool| {
            let x = values(&[0.3, 2.0, -4.0]).set_requires_grad(true);
            let weight = weight.detach().copy().set_requires_grad(true);
            let shared = weight.shallow_clone();
            let y = if again { recomputed(shared, vec![weight.shallow_clone()], &(&x * 3.0), work) } else { work(&shared, &(&x * 3.0)) };
            (y.sin().sum(Kind::Float) + weight.sum(Kind::Float)).backward();
            [y.detach(), x.grad(), weight.grad()].map(|t| Vec::<f32>::try_from(t).unwrap())
        };
        assert_eq!(gradients(false), gradients(true));
    }

    #[test]
    fn the_rectifier_works_in_place() {
        crate::torch::init_torch().unwrap();
        let x = values(&[-1.0, 2.0]).set_requires_grad(true);
        let y = leaky_relu_(&x * 2.0, 0.2);
        (&y * values(&[3.0, 5.0])).sum(Kind::Float).backward();
        assert!((y.detach() - values(&[-0.4, 4.0])).abs().max().double_value(&[]) < 1e-6);
        assert!((x.grad() - values(&[1.2, 10.0])).abs().max().double_value(&[]) < 1e-6);
        assert!(std::panic::catch_unwind(|| leaky_relu_(Tensor::zeros([2], (Kind::Bool, Device::Cpu)), 0.2)).is_err());
    }
}
