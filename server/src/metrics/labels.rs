//! By what figures are told apart. Every label has few values, all of them ours.

use crate::log::Line;
use domain::Rule;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use std::fmt::{self, Write};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ByCommand {
    pub(super) r#type: &'static str,
    pub(super) outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ByOutcome {
    pub(super) outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ByRule {
    pub(super) code: &'static str,
    pub(super) rule: RuleLabel,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ByCode {
    pub(super) code: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ByRoute {
    pub(super) route: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ByRequest {
    pub(super) route: &'static str,
    pub(super) method: &'static str,
    pub(super) status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ByPhase {
    pub(super) phase: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ByWhy {
    pub(super) why: &'static str,
}

impl ByRequest {
    pub(super) fn of(line: &Line) -> Self {
        Self {
            route: line.route,
            method: line.method,
            status: line.status.as_u16(),
        }
    }
}

/// The rule that refused; empty where none did.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct RuleLabel(pub(super) Option<Rule>);

impl EncodeLabelValue for RuleLabel {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        match self.0 {
            Some(rule) => write!(encoder, "{rule}"),
            None => Ok(()),
        }
    }
}
