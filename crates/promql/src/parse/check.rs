//! Checks the types of operands and arguments.

use super::{Node, Parser};
use crate::expr::{AggregateOp, BinaryOp, Matching, Type};
use crate::format::quote;
use crate::function::{Function, Variadic};

impl Parser<'_> {
    pub(super) fn check_unary(&mut self, start: usize, operand: &Node) {
        if !matches!(operand.result_type, Type::Scalar | Type::Vector) {
            let message =
                "unary expression only allowed on expressions of type scalar or instant vector";
            let got = quote(operand.result_type.as_str());
            self.note(start, format!("{message}, got {got}"));
        }
    }

    pub(super) fn check_binary(
        &mut self,
        left: &Node,
        (op, op_start): (BinaryOp, usize),
        returns_bool: bool,
        matching: Option<&Matching>,
        right: &Node,
    ) {
        let types = [left.result_type, right.result_type];
        if returns_bool && !op.is_comparison() {
            self.note(op_start, "bool modifier can only be used on comparison operators");
        }
        if op.is_comparison() && !returns_bool && types == [Type::Scalar; 2] {
            self.note(op_start, "comparisons between scalars must use BOOL modifier");
        }
        let group = matching.and_then(|matching| matching.group.as_ref());
        if let Some((matching, group)) = matching.filter(|matching| matching.is_on).zip(group)
            && let Some(label) = matching.labels.iter().find(|label| group.include.contains(label))
        {
            let label = quote(label);
            let message = format!("label {label} must not occur in ON and GROUP clause at once");
            self.note(op_start, message);
        }
        for operand in [left, right] {
            if !matches!(operand.result_type, Type::Scalar | Type::Vector) {
                let message = "binary expression must contain only scalar and instant vector types";
                self.note(operand.start, message);
            }
        }
        if types != [Type::Vector; 2] {
            if matching.is_some_and(|matching| !matching.labels.is_empty()) {
                self.note(left.start, "vector matching only allowed between instant vectors");
            }
        } else if op.is_set() && group.is_some() {
            let name = quote(op.as_str());
            self.note(left.start, format!("no grouping allowed for {name} operation"));
        }
        if op.is_set() && types.contains(&Type::Scalar) {
            let name = quote(op.as_str());
            let message = format!("set operator {name} not allowed in binary scalar expression");
            self.note(left.start, message);
        }
    }

    pub(super) fn check_aggregation(&mut self, op: AggregateOp, args: &[Node]) {
        if let Some(last) = args.last() {
            self.expect_type(last, Type::Vector, "aggregation expression");
        }
        if let Some((wanted, param)) = op.param_type().zip(args.first()) {
            self.expect_type(param, wanted, "aggregation parameter");
        }
    }

    fn expect_type(&mut self, node: &Node, wanted: Type, context: &str) {
        if node.result_type != wanted {
            let (wanted, got) = (wanted.as_str(), node.result_type.as_str());
            self.note(node.start, format!("expected type {wanted} in {context}, got {got}"));
        }
    }

    pub(super) fn check_call(&mut self, start: usize, function: Function, args: &[Node]) {
        let signature = function.signature();
        let (known, got) = (signature.args.len(), args.len());
        let name = quote(function.as_str());
        let wrong = match signature.variadic {
            Variadic::No if got != known => Some(format!("{known}")),
            Variadic::Optional | Variadic::Repeated if got + 1 < known => {
                Some(format!("at least {}", known - 1))
            }
            Variadic::Optional if got > known => Some(format!("at most {known}")),
            _ => None,
        };
        if let Some(expected) = wrong {
            self.note(
                start,
                format!("expected {expected} argument(s) in call to {name}, got {got}"),
            );
        }
        for (i, arg) in args.iter().enumerate() {
            let Some(wanted) = signature.args.get(i).or(signature.args.last()) else {
                return;
            };
            self.expect_type(arg, *wanted, &format!("call to function {name}"));
        }
    }
}
