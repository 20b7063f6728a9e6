//! From a line to a request, and from an outcome to a line.

use contract::Problem;
use contract::protocol::{ErrorCode, ErrorData, LONGEST_LINE, Notification};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

/// What a client asks for.
#[derive(Debug)]
pub(super) struct Request {
    /// What the answer carries; a request without one (a notification) is not answered.
    pub(super) id: Option<Value>,
    pub(super) method: String,
    pub(super) params: Params,
}

/// Why something is not done.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    pub(crate) code: ErrorCode,
    pub(crate) message: String,
    pub(crate) data: ErrorData,
}

impl Refusal {
    pub(super) fn new(code: ErrorCode, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { code, message: message.into(), data: ErrorData { hint: Some(hint.into()), ..ErrorData::default() } }
    }

    pub(super) fn at(mut self, culprit: impl Into<String>) -> Self {
        self.data.culprit = Some(culprit.into());
        self
    }

    pub(super) fn of(code: ErrorCode, problem: Problem) -> Self {
        let exit_status = Some(problem.kind.exit_status());
        let data = ErrorData { culprit: problem.culprit, hint: problem.hint, kind: Some(problem.kind), exit_status };
        Self { code, message: problem.what, data }
    }

    pub(super) fn too_long() -> Self {
        Self::new(
            ErrorCode::Parse,
            format!("the line is longer than {LONGEST_LINE} bytes"),
            "send one request a line, and name files instead of their content",
        )
    }
}

/// An answer's line.
pub(super) fn answer<T: Serialize>(id: &Value, outcome: Result<T, Refusal>) -> Vec<u8> {
    let line = match outcome {
        Ok(result) => json!({"jsonrpc": "2.0", "id": id, "result": result}),
        Err(refusal) => {
            let error = json!({"code": refusal.code.number(), "message": refusal.message, "data": refusal.data});
            json!({"jsonrpc": "2.0", "id": id, "error": error})
        }
    };
    line.to_string().into_bytes()
}

/// A notification's line.
pub(super) fn notification(notification: &Notification) -> Vec<u8> {
    #[derive(Serialize)]
    struct Message<'a> {
        jsonrpc: &'a str,
        #[serde(flatten)]
        notification: &'a Notification,
    }
    // Plain data always has a JSON form.
    serde_json::to_vec(&Message { jsonrpc: "2.0", notification }).unwrap_or_default()
}

/// Understands a line.
///
/// # Errors
/// The refusal, and the id that its answer carries: null where none could be read.
pub(super) fn parse(line: &[u8]) -> Result<Request, (Value, Refusal)> {
    let value: Value = serde_json::from_slice(line).map_err(|e| {
        let refusal = Refusal::new(ErrorCode::Parse, format!("not JSON: {e}"), "send one JSON object a line, in UTF-8");
        (Value::Null, refusal.at("line"))
    })?;
    let mut fields = match value {
        Value::Object(fields) => fields,
        Value::Array(_) => return Err(invalid(Value::Null, "line", "batches are not taken", "send one request a line")),
        _ => return Err(invalid(Value::Null, "line", "not a request", r#"send an object with "jsonrpc", "id", "method" and "params""#)),
    };
    let id = match fields.remove("id") {
        None => None,
        Some(id @ (Value::Null | Value::String(_))) => Some(id),
        Some(Value::Number(id)) if id.is_i64() || id.is_u64() => Some(Value::Number(id)),
        Some(_) => {
            return Err(invalid(Value::Null, "id", "neither a string nor a whole number", "number the requests: 1, 2, 3 …"));
        }
    };
    let echo = id.clone().unwrap_or_default();
    if fields.get("jsonrpc") != Some(&Value::from("2.0")) {
        return Err(invalid(echo, "jsonrpc", "not version 2.0", r#"begin each request with "jsonrpc": "2.0""#));
    }
    let Some(Value::String(method)) = fields.remove("method") else {
        return Err(invalid(echo, "method", "missing, or not a string", "name the method; docs/reference/protocol.md lists them"));
    };
    let params = match fields.remove("params") {
        None => Map::new(),
        Some(Value::Object(params)) => params,
        Some(_) => {
            let refusal = Refusal::new(ErrorCode::InvalidParams, "not an object", "name each parameter");
            return Err((echo, refusal.at("params")));
        }
    };
    Ok(Request { id, method, params: Params(params) })
}

fn invalid(id: Value, culprit: &str, what: &str, hint: &str) -> (Value, Refusal) {
    (id, Refusal::new(ErrorCode::InvalidRequest, what, hint).at(culprit))
}

/// Named parameters, taken one by one so that each error names its field.
#[derive(Debug)]
pub(super) struct Params(Map<String, Value>);

impl Params {
    /// A parameter; absent and null are `None`.
    pub(super) fn take<T: DeserializeOwned>(&mut self, name: &str) -> Result<Option<T>, Refusal> {
        let value = self.0.remove(name).unwrap_or_default();
        serde_json::from_value(value).map_err(|e| wrong(format!("not understood: {e}"), name))
    }

    /// A parameter that has to be there.
    pub(super) fn require<T: DeserializeOwned>(&mut self, name: &str) -> Result<T, Refusal> {
        self.take(name)?.ok_or_else(|| wrong("missing".into(), name))
    }

    /// Nothing may be left over.
    pub(super) fn finish(self) -> Result<(), Refusal> {
        self.0.keys().next().map_or(Ok(()), |name| Err(wrong("unknown parameter".into(), name)))
    }
}

fn wrong(what: String, name: &str) -> Refusal {
    Refusal::new(ErrorCode::InvalidParams, what, "docs/reference/protocol.md lists each method's parameters").at(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use contract::protocol::{Output, OutputKind};

    fn code(line: &str) -> i32 {
        parse(line.as_bytes()).unwrap_err().1.code.number()
    }

    #[test]
    fn requests_are_told_from_other_lines() {
        let request = parse(br#"{"jsonrpc":"2.0","id":"a","method":"job/status","params":{"job":3}}"#).unwrap();
        assert_eq!((request.id, request.method.as_str()), (Some(Value::from("a")), "job/status"));
        assert_eq!(code("{"), -32700);
        assert_eq!(code(&"[".repeat(100_000)), -32700);
        assert_eq!(code("[]"), -32600);
        assert_eq!(code("1"), -32600);
        assert_eq!(code(r#"{"jsonrpc":"1.0","id":1,"method":"shutdown"}"#), -32600);
        assert_eq!(code(r#"{"jsonrpc":"2.0","id":1.5,"method":"shutdown"}"#), -32600);
        assert_eq!(code(r#"{"jsonrpc":"2.0","id":1,"method":"shutdown","params":[]}"#), -32602);
        assert!(parse(b"\"\xff\"").is_err());
    }

    #[test]
    fn a_notification_is_a_line_whose_numbers_are_short() {
        let output = Output {
            job: 1,
            kind: OutputKind::Volume,
            file: "cluster001.mrc".into(),
            epoch: None,
            class: Some(1),
            n: Some(5),
            z: Some(vec![0.1]),
        };
        let line = String::from_utf8(notification(&Notification::Output(output))).unwrap();
        let params = r#"{"job":1,"kind":"volume","file":"cluster001.mrc","class":1,"n":5,"z":[0.1]}"#;
        assert_eq!(line, format!(r#"{{"jsonrpc":"2.0","method":"job/output","params":{params}}}"#));
    }

    #[test]
    fn params_name_their_field() {
        let params = |text: &str| Params(serde_json::from_str(text).unwrap());
        assert_eq!(params(r#"{"job":3}"#).take::<u64>("job").unwrap(), Some(3));
        assert_eq!(params(r#"{"job":null}"#).take::<u64>("job").unwrap(), None);
        assert_eq!(params(r#"{"job":-3}"#).take::<u64>("job").unwrap_err().data.culprit.unwrap(), "job");
        assert_eq!(params("{}").require::<u64>("job").unwrap_err().message, "missing");
        assert_eq!(params(r#"{"jbo":1}"#).finish().unwrap_err().data.culprit.unwrap(), "jbo");
    }
}
