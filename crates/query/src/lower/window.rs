//! Windows: the template's parameters part the rows before the partition's columns do.

use deltaic_dataflow::{
    AggregateFunction, KeyColumn, Operator, Window, WindowCall, WindowFunction as Function,
};

use super::{LowerError, Lowered, Lowering, reads_domain, sort_key};
use crate::plan::{self, Plan, SortKey, WindowFunction};

impl Lowering<'_> {
    pub(super) fn window(
        &mut self,
        input: &Plan,
        partition: &[usize],
        order: &[SortKey],
        calls: &[plan::WindowCall],
    ) -> Result<Lowered, LowerError> {
        let mut lowered = self.plan(input)?;
        if calls.iter().flat_map(plan::WindowCall::exprs).any(reads_domain) {
            lowered = self.dependent(lowered);
        }
        let (prefix, parameters) = (self.prefix(lowered), self.parameters(lowered));
        let window = Window {
            input: lowered.node,
            prefix: parameters,
            partition: (parameters..prefix).chain(partition.iter().map(|column| prefix + column)).collect(),
            order: order.iter().map(|key| sort_key(key, prefix)).collect(),
            calls: calls.iter().map(|call| self.window_call(call, lowered)).collect(),
        };
        let node = self.graph.add(Operator::Window(window));
        Ok(Lowered { node, dependent: lowered.dependent, width: lowered.width + calls.len() })
    }

    fn window_call(&self, call: &plan::WindowCall, input: Lowered) -> WindowCall {
        let function = match &call.function {
            WindowFunction::Positional(positional, arguments) => {
                let arguments = arguments.iter().map(|argument| self.compile_over(argument, input));
                Function::Positional(*positional, arguments.collect())
            }
            WindowFunction::Aggregate(call) => {
                let mut call = self.aggregate_call(call, input);
                if let AggregateFunction::Gather(_) = call.function {
                    // Behind its arguments stands the row's place in the window.
                    call.order = vec![KeyColumn::ascending(call.arguments.len())];
                }
                Function::Aggregate(call)
            }
        };
        WindowCall { function, frame: call.frame.clone() }
    }
}
