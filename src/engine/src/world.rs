//! Engines that train together, one process a device: what they add up, and what they copy from the first.
//!
//! Numbers and tensors in host memory go through Gloo, tensors on a GPU through NCCL; both are libtorch's own.
//! A rank alone does nothing of all this. A collective that fails panics with its reason, as the tensor library does: the session
//! turns that into a problem, and the job ends.

mod gloo;
mod kept;
pub mod nccl;

use contract::{Event, Kind, Problem, Result, World};
use gloo::Gloo;
use kept::Kept;
use nccl::Nccl;
use std::cell::Cell;
use std::net::{IpAddr, SocketAddr, TcpListener, ToSocketAddrs, UdpSocket};
use std::rc::Rc;
use tch::{Device, Tensor};

/// Ranks that this process trains with; possibly none.
pub struct Ranks(Option<Group>);

struct Group {
    rank: usize,
    size: usize,
    here: usize,
    gloo: Gloo,
    queue: Option<Box<dyn Queue>>,
    kept: Kept,
}

/// What adds tensors up over ranks one after the other, in the order that it is given them, which must be one on all ranks: NCCL, or in tests
/// what stands in for it.
pub trait Queue {
    /// Whether tensors like this one are added up here.
    fn takes(&self, x: &Tensor) -> bool;

    /// Starts to replace `x` (contiguous) by its sum over ranks, beside what is computed meanwhile. `x` must live until [`Self::finish`].
    ///
    /// # Panics
    /// With the reason of a failure.
    fn begin_sum(&self, x: &Tensor);

    /// What is computed from now on sees all sums that were begun: it waits for the last of them.
    ///
    /// # Panics
    /// With the reason of a failure.
    fn finish(&self);

    /// Waits until all that was begun is done, every sum among it.
    fn wait_for_all(&self);

    /// Leaves in order, together with the others: ranks of one machine wait for each other here. No sum may be under way.
    fn leave(self: Box<Self>);
}

/// The images of a whole batch that are one rank's: `from..from + count` of `of`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Where they begin.
    pub from: usize,
    /// How many.
    pub count: usize,
    /// Images of the whole batch.
    pub of: usize,
}

impl Share {
    /// What this rank's images count in sums over ranks. A rank without images of its own works on another's ([`Share::select`]), so that
    /// every rank has gradients of the same shapes, and adds nothing.
    #[must_use]
    pub fn weight(&self) -> f64 {
        if self.count == 0 { 0.0 } else { 1.0 }
    }

    /// The particles that this rank works on.
    #[must_use]
    pub fn select(&self, whole: &[usize]) -> Vec<usize> {
        if self.count == 0 { whole[..1].to_vec() } else { whole[self.from..self.from + self.count].to_vec() }
    }
}

/// A sum over all ranks that is on its way.
#[must_use = "the sum is there when it is finished"]
pub struct Pending {
    flat: Tensor,
    /// `None`: in the queue, or done.
    work: Rc<Cell<Option<gloo::Work>>>,
}

impl Ranks {
    /// No others.
    #[must_use]
    pub fn alone() -> Self {
        Self(None)
    }

    /// Meets the others; rank 0 tells where.
    ///
    /// # Errors
    /// An address that is not understood or not reached, or a GPU without NCCL.
    pub fn join(world: Option<&World>, device: Device, tell: &dyn Fn(Event)) -> Result<Self> {
        let Some(world) = world else { return Ok(Self::alone()) };
        let unreached =
            |what: String| Problem::failed(what).at(world.meeting.clone()).hint("all machines of a job must reach each other by TCP");
        let gloo = if world.rank == 0 {
            let listener = TcpListener::bind((world.meeting.as_str(), 0)).map_err(|e| unreached(format!("rank 0 cannot listen: {e}")))?;
            let address = listener.local_addr().map_err(|e| unreached(format!("rank 0 does not know where it listens: {e}")))?;
            tell(Event::Meeting { address: address.to_string() });
            Gloo::serve(listener, address, world.size)
        } else {
            let address = resolve(&world.meeting).map_err(|e| unreached(format!("is no address: {e}")))?;
            let own = own_address(address).map_err(|e| unreached(format!("there is no way to rank 0: {e}")))?;
            Gloo::meet(address, own, world.rank, world.size)
        }
        .map_err(|e| unreached(format!("the {} engines did not meet: {e}", world.size)))?;
        let mut group = Group { rank: world.rank, size: world.size, here: world.here.max(1), gloo, queue: None, kept: Kept::default() };
        if let Device::Cuda(index) = device {
            let id = if group.rank == 0 { nccl::unique_id()? } else { nccl::UniqueId::default() };
            let bytes = group.words_of_first(id.to_words());
            let id = nccl::UniqueId::of_words(&bytes).ok_or_else(|| Problem::new(Kind::Failed, "rank 0's NCCL id was not understood"))?;
            group.queue = Some(Box::new(Nccl::join(&id, group.rank, group.size, index)?));
        }
        Ok(Self(Some(group)))
    }

    /// The same ranks, with another queue for the tensors that it takes.
    #[must_use]
    pub fn with_queue(self, queue: Box<dyn Queue>) -> Self {
        Self(self.0.map(|group| Group { queue: Some(queue), ..group }))
    }

    /// Whether there is no group at all.
    #[must_use]
    pub fn is_alone(&self) -> bool {
        self.0.is_none()
    }

    /// How many, this one included.
    #[must_use]
    pub fn size(&self) -> usize {
        self.0.as_ref().map_or(1, |group| group.size)
    }

    /// How many on this machine.
    #[must_use]
    pub fn here(&self) -> usize {
        self.0.as_ref().map_or(1, |group| group.here)
    }

    /// Whether this is the one that writes files and speaks for all.
    #[must_use]
    pub fn is_first(&self) -> bool {
        self.0.as_ref().is_none_or(|group| group.rank == 0)
    }

    /// This rank's part of `of` images: consecutive ones, sizes that differ by one at most.
    #[must_use]
    pub fn share(&self, of: usize) -> Share {
        let (rank, size) = self.0.as_ref().map_or((0, 1), |group| (group.rank, group.size));
        let (from, to) = (rank * of / size, (rank + 1) * of / size);
        Share { from, count: to - from, of }
    }

    /// Replaces every number by its sum over all ranks.
    pub fn sum(&self, values: &mut [f64]) {
        if let Some(group) = &self.0 {
            group.numbers(values);
        }
    }

    /// The sum of a tensor over all ranks, where the tensor is.
    pub fn total(&self, own: Tensor) -> Tensor {
        match &self.0 {
            Some(group) => group.begin_sum(own.contiguous()).finish(group),
            None => own,
        }
    }

    /// The largest of all ranks' values, each for itself, of tensors `[n]`.
    pub fn largest(&self, own: Tensor) -> Tensor {
        let Some(group) = &self.0 else { return own };
        // NCCL waits for nobody, and a sum is all that is asked of it: every rank has a row of its own.
        let all = Tensor::zeros([group.size as i64, own.size()[0]], (own.kind(), own.device()));
        all.get(group.rank as i64).copy_(&own);
        group.begin_sum(all).finish(group).amax([0i64].as_slice(), false)
    }

    /// All ranks' rows, in order: this one's are `own`, `[count, d]`, of which only a share with images of its own counts. `[of, d]`.
    pub fn rows(&self, own: &Tensor, share: Share) -> Tensor {
        let Some(group) = &self.0 else { return own.shallow_clone() };
        let own = own.detach();
        let all = Tensor::zeros([share.of as i64, own.size()[1]], (own.kind(), own.device()));
        if share.count > 0 {
            all.narrow(0, share.from as i64, share.count as i64).copy_(&own);
        }
        // Every row has one rank that is not zero there.
        group.begin_sum(all).finish(group)
    }

    /// Replaces tensors by the first rank's, in place.
    pub fn copy_of_first(&self, tensors: &mut [Tensor]) {
        let Some(group) = &self.0 else { return };
        for tensor in tensors {
            let copy = tensor.detach().to_device(Device::Cpu).contiguous().copy();
            group.gloo.broadcast(&copy);
            tch::no_grad(|| tensor.copy_(&copy));
        }
    }

    /// The first rank's words; what the others give does not matter.
    #[must_use]
    pub fn words_of_first(&self, words: String) -> String {
        match &self.0 {
            Some(group) => group.words_of_first(words),
            None => words,
        }
    }

    /// Starts to add up gradients over all ranks while the caller goes on; `None` where there are no others. Ranks must give tensors of the
    /// same shapes in the same order.
    pub fn begin_sum(&self, tensors: &[Tensor]) -> Option<Pending> {
        let group = self.0.as_ref()?;
        let flat: Vec<Tensor> = tensors.iter().map(|tensor| tensor.detach().reshape([-1])).collect();
        Some(group.begin_sum(Tensor::cat(&flat, 0)))
    }

    /// From here on sums of tensors are kept, so that this rank can do what follows again while the others wait for it.
    pub fn keep_sums(&self) {
        if let Some(group) = &self.0 {
            group.kept.begin();
        }
    }

    /// What was begun with [`Self::keep_sums`] is done again: the sums that it came to are given as they are, in their order, and those that it
    /// did not come to are begun. Nobody may have changed the tensors that they are in.
    pub fn repeat_sums(&self) {
        if let Some(group) = &self.0 {
            group.kept.repeat();
        }
    }

    /// Nothing is done again any more, and sums are not kept.
    pub fn forget_sums(&self) {
        if let Some(group) = &self.0 {
            group.kept.end();
        }
    }

    /// The end of a run that has ended well on all ranks, which all of them come to: nobody leaves before everybody's last sum is there.
    /// Ranks that are dropped instead leave at once, and the others lose them.
    pub fn leave(self) {
        let Some(mut group) = self.0 else { return };
        if let Some(queue) = &group.queue {
            queue.wait_for_all();
        }
        // Nobody has it before everybody has come here.
        group.numbers(&mut [0.0]);
        if let Some(queue) = group.queue.take() {
            queue.leave();
        }
    }

    /// Waits for a sum: one row of numbers, the tensors' in their order.
    pub fn finish(&self, pending: Pending) -> Tensor {
        match &self.0 {
            Some(group) => pending.finish(group),
            None => pending.flat,
        }
    }
}

impl Group {
    fn numbers(&self, values: &mut [f64]) {
        let tensor = Tensor::from_slice(values);
        self.gloo.begin_sum(&tensor).wait();
        tensor.copy_data(values, values.len());
    }

    fn words_of_first(&self, words: String) -> String {
        let length = Tensor::from_slice(&[words.len() as i64]);
        self.gloo.broadcast(&length);
        let length = usize::try_from(length.int64_value(&[0])).unwrap_or(0);
        let mut bytes = words.into_bytes();
        bytes.resize(length, 0);
        let tensor = Tensor::from_slice(&bytes);
        self.gloo.broadcast(&tensor);
        tensor.copy_data(&mut bytes, length);
        String::from_utf8(bytes).expect("the first rank's words are UTF-8")
    }

    fn begin_sum(&self, flat: Tensor) -> Pending {
        self.kept.or_begin(flat, |flat| match &self.queue {
            Some(queue) if queue.takes(&flat) => {
                queue.begin_sum(&flat);
                Pending { flat, work: Rc::default() }
            }
            _ => Pending { work: Rc::new(Cell::new(Some(self.gloo.begin_sum(&flat)))), flat },
        })
    }
}

impl Pending {
    fn finish(self, group: &Group) -> Tensor {
        match (self.work.take(), &group.queue) {
            (Some(work), _) => work.wait(),
            (None, Some(queue)) if queue.takes(&self.flat) => queue.finish(),
            // One that is kept and has been waited for.
            (None, _) => {}
        }
        self.flat
    }

    /// The same sum once more; who waits for it first waits for both.
    fn another(&self) -> Self {
        Self { flat: self.flat.shallow_clone(), work: Rc::clone(&self.work) }
    }
}

fn resolve(address: &str) -> std::io::Result<SocketAddr> {
    address.to_socket_addrs()?.next().ok_or_else(|| std::io::Error::other("it names no machine"))
}

/// The address of this machine that packets to `there` leave from. Nothing is sent.
fn own_address(there: SocketAddr) -> std::io::Result<IpAddr> {
    let any: IpAddr = if there.is_ipv4() { [0u8; 4].into() } else { [0u8; 16].into() };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(there)?;
    Ok(socket.local_addr()?.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share_of(rank: usize, size: usize, of: usize) -> Share {
        let (from, to) = (rank * of / size, (rank + 1) * of / size);
        Share { from, count: to - from, of }
    }

    #[test]
    fn one_alone_has_everything_and_changes_nothing() {
        let alone = Ranks::join(None, Device::Cpu, &|_| panic!("nobody to tell")).unwrap();
        assert_eq!((alone.share(7), alone.size(), alone.is_first()), (share_of(0, 1, 7), 1, true));
        let mut values = [1.0, 2.0];
        alone.sum(&mut values);
        assert_eq!(values, [1.0, 2.0]);
        assert!(alone.begin_sum(&[Tensor::from_slice(&[1.0f32])]).is_none());
        assert_eq!(alone.words_of_first("ours".into()), "ours");
    }

    #[test]
    fn ranks_add_up_copy_and_collect() {
        crate::torch::init_torch().unwrap();
        const SIZE: usize = 3;
        let (sender, receiver) = std::sync::mpsc::channel();
        let work = |rank: usize, meeting: String, tell: &dyn Fn(Event)| {
            let world = World { rank, size: SIZE, here: SIZE, meeting };
            let ranks = Ranks::join(Some(&world), Device::Cpu, tell).unwrap();
            let mut sums = [rank as f64, 1.0];
            ranks.sum(&mut sums);
            assert_eq!(sums, [3.0, 3.0]);
            let most = ranks.largest(Tensor::from_slice(&[-(rank as f64), rank as f64]));
            assert_eq!(Vec::<f64>::try_from(most).unwrap(), [0.0, 2.0]);
            assert_eq!(ranks.total(Tensor::from_slice(&[rank as f64 + 1.0])).double_value(&[0]), 6.0);
            assert_eq!(ranks.words_of_first(if rank == 0 { "ärst".into() } else { String::new() }), "ärst");
            let mut copies = [Tensor::from_slice(&[rank as f32 + 5.0])];
            ranks.copy_of_first(&mut copies);
            assert_eq!(copies[0].double_value(&[0]), 5.0);
            // Two images for three ranks: the first has none of its own.
            let share = ranks.share(2);
            let own = Tensor::full([share.select(&[7, 9]).len() as i64, 2], rank as f64, (tch::Kind::Float, Device::Cpu));
            let rows: Vec<f32> = Vec::try_from(ranks.rows(&own, share).view([-1])).unwrap();
            assert_eq!((share.weight() == 0.0, rows), (rank == 0, vec![1.0, 1.0, 2.0, 2.0]));
            let gradients = [Tensor::from_slice(&[1.0f32, rank as f32]), Tensor::from_slice(&[10.0f32]).view([1, 1])];
            let sum = ranks.finish(ranks.begin_sum(&gradients).unwrap());
            assert_eq!(Vec::<f32>::try_from(sum).unwrap(), [3.0, 3.0, 30.0]);
            // The last rank does its part three times, the others once: the first sum is under way, the second is done.
            ranks.keep_sums();
            for _ in 0..if rank == SIZE - 1 { 3 } else { 1 } {
                ranks.repeat_sums();
                let one = |value: usize| Tensor::from_slice(&[value as f64]);
                let begun = ranks.begin_sum(&[one(rank)]).unwrap();
                assert_eq!(ranks.total(one(1)).double_value(&[0]), 3.0);
                assert_eq!(ranks.finish(begun).double_value(&[0]), 3.0);
            }
            ranks.forget_sums();
            assert_eq!(ranks.total(Tensor::from_slice(&[rank as f64])).double_value(&[0]), 3.0);
            // Who comes last is not lost to those who wait.
            std::thread::sleep(std::time::Duration::from_millis(100 * rank as u64));
            ranks.leave();
        };
        std::thread::scope(|scope| {
            let first = scope.spawn(move || {
                work(0, "127.0.0.1".into(), &|event| {
                    let Event::Meeting { address } = event else { panic!("{event:?}") };
                    (1..SIZE).for_each(|_| sender.send(address.clone()).unwrap());
                });
            });
            let others: Vec<_> = (1..SIZE)
                .map(|rank| {
                    let meeting = receiver.recv().unwrap();
                    scope.spawn(move || work(rank, meeting, &|_| {}))
                })
                .collect();
            others.into_iter().chain([first]).for_each(|thread| thread.join().unwrap());
        });
    }

    #[test]
    fn shares_cover_a_batch() {
        for (size, of) in [(2, 7), (3, 2), (4, 4), (5, 1)] {
            let shares: Vec<Share> = (0..size).map(|rank| share_of(rank, size, of)).collect();
            assert_eq!(shares.iter().map(|share| share.count).sum::<usize>(), of);
            let whole: Vec<usize> = (10..10 + of).collect();
            let seen: Vec<usize> = shares.iter().filter(|share| share.weight() > 0.0).flat_map(|share| share.select(&whole)).collect();
            assert_eq!(seen, whole);
            assert!(shares.iter().all(|share| !share.select(&whole).is_empty()));
        }
    }
}
