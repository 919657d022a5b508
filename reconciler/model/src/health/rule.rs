//! The blueprint's own health rules, in CEL (<https://cel.dev>).

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    sync::Arc,
};

use cel::{
    Context, ExecutionError, Program,
    objects::{Key, Map},
};
use serde_json::Value;

use super::{Health, kinds};
use crate::format::blueprint::HealthRule;

/// The compiled health rules of one blueprint, and what else a verdict looks at.
#[derive(Default)]
pub struct Rules {
    compiled: Vec<Compiled>,
    /// The storage classes that bind a claim only when a pod uses it.
    late_binding: BTreeSet<String>,
}

struct Compiled {
    rule: HealthRule,
    ready: Program,
    failed: Option<Program>,
    message: Option<Program>,
}

/// A CEL expression that does not compile.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the expression `{expression}` is not CEL: {cause}")]
pub struct RuleError {
    /// The position of the rule in the blueprint's list.
    pub index: usize,
    /// The key of the rule that holds it: `ready`, `failed` or `message`.
    pub key: &'static str,
    /// The expression.
    pub expression: String,
    /// What the parser says.
    pub cause: String,
}

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.compiled.iter().map(|compiled| &compiled.rule)).finish()
    }
}

impl Rules {
    /// Compiles `rules`; all expressions that do not compile are returned together.
    pub fn compile(rules: &[HealthRule]) -> Result<Self, Vec<RuleError>> {
        let mut errors = Vec::new();
        let mut compiled = Vec::with_capacity(rules.len());
        for (index, rule) in rules.iter().enumerate() {
            let mut compile = |key, expression: &str| {
                Program::compile(expression)
                    .map_err(|cause| {
                        errors.push(RuleError {
                            index,
                            key,
                            expression: expression.to_owned(),
                            cause: cause.to_string(),
                        });
                    })
                    .ok()
            };
            let ready = compile("ready", &rule.ready);
            let failed = rule.failed.as_deref().and_then(|text| compile("failed", text));
            let message = rule.message.as_deref().and_then(|text| compile("message", text));
            if let Some(ready) = ready {
                compiled.push(Compiled { rule: rule.clone(), ready, failed, message });
            }
        }
        if errors.is_empty() { Ok(Self { compiled, ..Self::default() }) } else { Err(errors) }
    }

    /// Names the cluster's storage classes of `volumeBindingMode: WaitForFirstConsumer`: a claim of theirs
    /// that no pod uses yet is as it should be.
    #[must_use]
    pub fn with_late_binding(mut self, classes: BTreeSet<String>) -> Self {
        self.late_binding = classes;
        self
    }

    /// Returns whether `claim` waits for a pod to use it, and for nothing else.
    pub(super) fn waits_for_a_consumer(&self, claim: &Value) -> bool {
        let class = claim.pointer("/spec/storageClassName").and_then(Value::as_str);
        // Set by the scheduler once a pod wants the claim on some node.
        let has_consumer =
            claim.pointer("/metadata/annotations/volume.kubernetes.io~1selected-node").is_some();
        class.is_some_and(|class| self.late_binding.contains(class)) && !has_consumer
    }

    /// Returns the verdict of the first rule that fits the object; none where no rule fits.
    pub(super) fn assess(&self, live: &Value) -> Option<Health> {
        let compiled = self.compiled.iter().find(|compiled| fits(&compiled.rule, live))?;
        Some(compiled.assess(live))
    }
}

impl Compiled {
    fn assess(&self, live: &Value) -> Health {
        let context = context(live);
        let is_true =
            |program: &Program| matches!(program.execute(&context), Ok(cel::Value::Bool(true)));
        if self.failed.as_ref().is_some_and(is_true) {
            return Health::failed(self.reason(live, &context));
        }
        match self.ready.execute(&context) {
            Ok(cel::Value::Bool(true)) => Health::Current,
            Ok(cel::Value::Bool(false)) => Health::in_progress(self.reason(live, &context)),
            Ok(_) => Health::Unknown {
                why: format!("`{}` gives neither true nor false", self.rule.ready),
            },
            // A field that is not there yet: the controller has not reported, or not all of it.
            Err(ExecutionError::NoSuchKey(_)) => Health::in_progress(self.reason(live, &context)),
            Err(error) => {
                Health::Unknown { why: format!("`{}` failed: {}", self.rule.ready, brief(&error)) }
            }
        }
    }

    fn reason(&self, live: &Value, context: &Context<'_>) -> String {
        if let Some(Ok(cel::Value::String(text))) =
            self.message.as_ref().map(|program| program.execute(context))
        {
            return text.to_string();
        }
        if live.get("status").and_then(Value::as_object).is_none_or(serde_json::Map::is_empty) {
            return "its controller has not reported a status yet".to_owned();
        }
        kinds::unmet_condition(live)
            .or_else(|| {
                let phase = live.pointer("/status/phase")?.as_str()?;
                Some(format!("phase is {phase}"))
            })
            .unwrap_or_else(|| format!("waits for `{}`", self.rule.ready))
    }
}

/// An execution error without the values in it: they may be long.
fn brief(error: &ExecutionError) -> String {
    let text = error.to_string();
    text.split(':').next().unwrap_or_default().to_owned()
}

/// Returns whether `rule` is about `live`: its kind, its group where given, its name where given.
pub(super) fn fits(rule: &HealthRule, live: &Value) -> bool {
    let text = |pointer: &str| live.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let group = text("/apiVersion").rsplit_once('/').map_or("", |(group, _)| group);
    let (kind, wanted_group) =
        rule.kind.split_once('.').map_or((rule.kind.as_str(), None), |(k, g)| (k, Some(g)));
    kind == text("/kind")
        && wanted_group.is_none_or(|wanted| wanted == group)
        && rule.name.as_deref().is_none_or(|name| name == text("/metadata/name"))
}

fn context(live: &Value) -> Context<'static> {
    let mut context = Context::default();
    for name in ["metadata", "spec", "status"] {
        let value =
            live.get(name).map_or_else(|| to_cel(&Value::Object(serde_json::Map::new())), to_cel);
        context.add_variable_from_value(name, value);
    }
    context.add_variable_from_value("self", to_cel(live));
    context
}

/// Whole numbers become CEL `int`s, as in Kubernetes' own CEL; serde would make `uint`s of them.
fn to_cel(value: &Value) -> cel::Value {
    match value {
        Value::Null => cel::Value::Null,
        Value::Bool(bool) => cel::Value::Bool(*bool),
        Value::Number(number) => number
            .as_i64()
            .map(cel::Value::Int)
            .or_else(|| number.as_u64().map(cel::Value::UInt))
            .or_else(|| number.as_f64().map(cel::Value::Float))
            .unwrap_or(cel::Value::Null),
        Value::String(text) => cel::Value::String(Arc::new(text.clone())),
        Value::Array(list) => cel::Value::List(Arc::new(list.iter().map(to_cel).collect())),
        Value::Object(map) => {
            let map: HashMap<Key, cel::Value> = map
                .iter()
                .map(|(key, value)| (Key::String(Arc::new(key.clone())), to_cel(value)))
                .collect();
            cel::Value::Map(Map { map: Arc::new(map) })
        }
    }
}
