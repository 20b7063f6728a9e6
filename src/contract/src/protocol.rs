//! The language of `opus-dsd serve`: JSON-RPC 2.0, one object a line, on stdin and stdout.
//!
//! `docs/reference/protocol.md` is rendered from these types and their comments.

use crate::{Device, LossTerms, Problem};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Version of the protocol; raised when a field or a method changes its meaning, not when one is added.
pub const PROTOCOL: u32 = 1;

/// Longest line that is read, bytes without its end.
pub const LONGEST_LINE: usize = 1 << 20;

/// What a client can ask for.
pub mod method {
    /// Introduction.
    pub const INITIALIZE: &str = "initialize";
    /// Starts a job.
    pub const START: &str = "job/start";
    /// What a job does.
    pub const STATUS: &str = "job/status";
    /// Stops a job in order.
    pub const CANCEL: &str = "job/cancel";
    /// Stops the job and the server.
    pub const SHUTDOWN: &str = "shutdown";
    /// All of them.
    pub const ALL: [&str; 5] = [INITIALIZE, START, STATUS, CANCEL, SHUTDOWN];
}

/// Params of `initialize`; all may be left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct InitializeParams {
    /// The protocol version that the client speaks; another one than the server's is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<u32>,
    /// Whether devices are listed (default `true`). The first listing starts the engine, which takes seconds; with `false` the answer comes at
    /// once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub devices: Option<bool>,
    /// The client's name and version, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
}

/// Result of `initialize`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Initialized {
    /// `opus-dsd`.
    pub name: String,
    /// The program's version.
    pub version: String,
    /// The protocol's version.
    pub protocol: u32,
    /// What a job can run on, best first; absent where it was not asked for or could not be learned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub devices: Option<Vec<Device>>,
    /// Why devices are absent although they were asked for; a job would fail for the same reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub devices_problem: Option<Problem>,
    /// All jobs and their settings, as `opus-dsd manifest --for json` prints them.
    #[schemars(with = "Map<String, Value>")]
    pub manifest: Value,
}

/// Params of `job/start`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StartParams {
    /// The job's verb, as `train`.
    pub verb: String,
    /// The job folder; it is made where it is missing. Relative paths, here and in settings, start at the server's working directory.
    pub folder: String,
    /// Option name (as in the manifest, without dashes) → value: a string, a number, `true` or `false`, or a list of these, which is joined by
    /// commas. `null`, an empty string and an empty list leave the option out.
    #[serde(default)]
    pub settings: Map<String, Value>,
}

/// Params of `job/status` and `job/cancel`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct JobParams {
    /// The job's number; the latest job where it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job: Option<u64>,
}

/// What a job does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It runs.
    Running,
    /// It was asked to stop and leaves a checkpoint first.
    Stopping,
    /// It ended well; everything is there.
    Done,
    /// It was stopped in order; the same `job/start` goes on.
    Stopped,
    /// It failed; `problem` says why.
    Failed,
}

/// Result of `job/start`, `job/status` and `job/cancel`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Status {
    /// Number of the job, from 1, in the order of their starts in this conversation.
    pub job: u64,
    /// Its verb.
    pub verb: String,
    /// Its folder, as it was given.
    pub folder: String,
    /// What it does.
    pub state: State,
    /// Seconds since its start, or that it took.
    pub seconds: f64,
    /// How far it is, where it has said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
    /// The program's exit status, where it has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_status: Option<u8>,
    /// Why it did not end well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
}

/// Params of `job/progress`: how far the job is. A slow reader gets the latest only.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Progress {
    /// Number of the job.
    pub job: u64,
    /// The running stage.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stage: Option<String>,
    /// Epoch, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epoch: Option<usize>,
    /// Epochs in all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epochs: Option<usize>,
    /// Images done in this epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub images: Option<usize>,
    /// Images an epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub of: Option<usize>,
    /// Images a second, over the last interval.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub images_per_second: Option<f64>,
}

/// What a metric was measured over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Span {
    /// The images since the last metric.
    Interval,
    /// The whole epoch.
    Epoch,
}

/// Params of `job/metric`: measurements of training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Metric {
    /// Number of the job.
    pub job: u64,
    /// What it was measured over.
    pub over: Span,
    /// Epoch, from 1.
    pub epoch: usize,
    /// Images done in this epoch, where it was measured over an interval.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub images: Option<usize>,
    /// Mean loss terms, weights applied.
    pub terms: LossTerms,
    /// Mean reconstruction loss over the validation images, where there are any, at the end of an epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validation: Option<f64>,
    /// Mean Kullback–Leibler divergence in nats, unweighted.
    pub kl_nats: f64,
    /// Latent dimensions whose means vary over particles, at the end of an epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub active_dimensions: Option<usize>,
    /// Estimated signal-to-noise ratio.
    pub snr: f64,
    /// Learning rate.
    pub learning_rate: f64,
    /// Wall seconds of the epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
}

/// What a file of the result is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OutputKind {
    /// A particle STAR file with clusters in `rlnClassNumber`.
    Particles,
    /// `[particles, zdim]` f32 npy; row i is row i of the input.
    Latents,
    /// A folder with a checkpoint.
    Weights,
    /// The current mean map.
    Preview,
    /// A state's map.
    Volume,
    /// A figure.
    Plot,
}

/// Params of `job/output`: a file of the result is there, whole. Named again when a later epoch rewrites it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Output {
    /// Number of the job.
    pub job: u64,
    /// What it is.
    pub kind: OutputKind,
    /// Path relative to the job folder.
    pub file: String,
    /// Epochs that it comes from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epoch: Option<usize>,
    /// Cluster of a map, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<usize>,
    /// Particles in the cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub n: Option<usize>,
    /// Latent that was decoded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub z: Option<Vec<f32>>,
}

/// Which of the job's two streams a line is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Stream {
    /// `run.out`.
    Out,
    /// `run.err`: warnings and errors.
    Err,
}

/// Params of `job/log`: a line of `run.out` or `run.err`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Log {
    /// Number of the job.
    pub job: u64,
    /// Where it is from.
    pub stream: Stream,
    /// The line.
    pub line: String,
}

/// Params of `job/done`: the job has ended and all its processes are gone. Sent once a job, after all else of the job, and never left out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Done {
    /// Number of the job.
    pub job: u64,
    /// `done`, `stopped` or `failed`.
    pub state: State,
    /// The program's exit status: 0 done, 1 failed, 2 wrong use or input, 3 input/output, 4 no device or out of memory, 5 numerical, 130 stopped
    /// by the abort file, 143 by SIGTERM (so does `job/cancel`), 128 + n where signal n ended the job's guard.
    pub exit_status: u8,
    /// Seconds that it took.
    pub seconds: f64,
    /// Why it did not end well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
    /// What it left: the content of `results.json`, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Map<String, Value>>")]
    pub results: Option<Value>,
    /// Lines and metrics that were left out because they were not read in time; run.out and events.jsonl have them.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub left_out: u64,
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// What the server says unasked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "method", content = "params")]
pub enum Notification {
    /// How far the job is.
    #[serde(rename = "job/progress")]
    Progress(Progress),
    /// Measurements of training.
    #[serde(rename = "job/metric")]
    Metric(Metric),
    /// A file of the result is there.
    #[serde(rename = "job/output")]
    Output(Output),
    /// A line of the job's log.
    #[serde(rename = "job/log")]
    Log(Log),
    /// The job has ended.
    #[serde(rename = "job/done")]
    Done(Done),
}

/// What beside code and message comes with an error.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ErrorData {
    /// The setting, path, field or line that is to blame.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub culprit: Option<String>,
    /// What to do next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// What sort of problem it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<crate::Kind>,
    /// The exit status that the same problem has on the command line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_status: Option<u8>,
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorCode {
    /// Not JSON, not UTF-8, or too long.
    Parse,
    /// Not a request.
    InvalidRequest,
    /// No such method.
    MethodNotFound,
    /// Params that do not fit the method, or settings that do not fit the verb.
    InvalidParams,
    /// The server's own fault.
    Internal,
    /// A problem of the job or its surroundings.
    Problem,
    /// A job runs already.
    Busy,
    /// There is no such job.
    NoSuchJob,
    /// The server is leaving.
    Leaving,
    /// Another version of the protocol.
    Version,
}

impl ErrorCode {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Parse,
        Self::InvalidRequest,
        Self::MethodNotFound,
        Self::InvalidParams,
        Self::Internal,
        Self::Problem,
        Self::Busy,
        Self::NoSuchJob,
        Self::Leaving,
        Self::Version,
    ];

    /// The number that stands for it: JSON-RPC's own below -32600, ours from -32000 down.
    #[must_use]
    pub fn number(self) -> i32 {
        match self {
            Self::Parse => -32700,
            Self::InvalidRequest => -32600,
            Self::MethodNotFound => -32601,
            Self::InvalidParams => -32602,
            Self::Internal => -32603,
            Self::Problem => -32000,
            Self::Busy => -32001,
            Self::NoSuchJob => -32002,
            Self::Leaving => -32003,
            Self::Version => -32004,
        }
    }

    /// When it comes.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Parse => "the line is not JSON, not UTF-8, or longer than 1 MiB; the answer's id is null",
            Self::InvalidRequest => {
                "the line is JSON but not a request: a batch, a number, another `jsonrpc`, an id that is neither a string nor a number"
            }
            Self::MethodNotFound => "there is no such method",
            Self::InvalidParams => "params do not fit the method, or settings do not fit the verb; `culprit` names the field or the option",
            Self::Internal => "a fault of the server",
            Self::Problem => "the job cannot be started, for the reason that message, `culprit` and `hint` give",
            Self::Busy => "a job runs already; jobs run one after another, and nothing is queued",
            Self::NoSuchJob => "there is no job of this number, or none at all",
            Self::Leaving => "the server was asked to leave and takes no more jobs",
            Self::Version => "the client speaks another version of the protocol",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notification_names_its_method_beside_its_params() {
        let progress = Progress { job: 1, stage: Some("train".into()), ..Progress::default() };
        let text = serde_json::to_string(&Notification::Progress(progress)).unwrap();
        assert_eq!(text, r#"{"method":"job/progress","params":{"job":1,"stage":"train"}}"#);
    }

    #[test]
    fn codes_are_told_apart() {
        let mut numbers: Vec<i32> = ErrorCode::ALL.iter().map(|c| c.number()).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), ErrorCode::ALL.len());
    }
}
