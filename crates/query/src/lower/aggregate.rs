//! Aggregates: which function of the circuit a call is, for the types of its arguments.

use deltaic_dataflow::{
    Aggregate, AggregateCall, AggregateFunction, Bitwise, Dispersion, Gathering, Operator, Rank, Scalar,
};
use deltaic_types::{DataType, Row};

use super::{LowerError, Lowered, Lowering, reads_domain, sort_key};
use crate::{
    expression::Expr,
    plan::{self, Plan},
};

impl Lowering<'_> {
    pub(super) fn aggregate(
        &mut self,
        input: &Plan,
        keys: &[Expr],
        calls: &[plan::AggregateCall],
    ) -> Result<Lowered, LowerError> {
        let mut lowered = self.plan(input)?;
        let parts = calls.iter().flat_map(plan::AggregateCall::exprs);
        if keys.iter().chain(parts).any(reads_domain) {
            lowered = self.dependent(lowered);
        }
        let prefix = self.prefix(lowered);
        let key = (0..prefix)
            .map(|place| Scalar::column(0, place))
            .chain(keys.iter().map(|key| self.compile_over(key, lowered)))
            .collect();
        let compiled = calls.iter().map(|call| self.aggregate_call(call, lowered)).collect();
        // Without GROUP BY there is one row for each live tuple, whatever rows there are.
        let groups = match (keys.is_empty(), self.domain) {
            (false, _) => None,
            (true, Some(domain)) if lowered.dependent => Some(domain.node),
            (true, _) => Some(self.graph.add(Operator::Constant(vec![Row::empty()]))),
        };
        let node = self.graph.add(Operator::Aggregate(Aggregate {
            input: lowered.node,
            groups,
            key,
            prefix: self.parameters(lowered),
            calls: compiled,
        }));
        Ok(Lowered { node, dependent: lowered.dependent, width: keys.len() + calls.len() })
    }

    /// A call over a node's rows.
    pub(super) fn aggregate_call(&self, call: &plan::AggregateCall, input: Lowered) -> AggregateCall {
        // A direct argument is evaluated on the group's key, which begins with the row of the domain.
        let direct = |expr: &Expr| self.compile_over(expr, input);
        AggregateCall {
            function: function(call),
            arguments: call.arguments.iter().map(|argument| self.compile_over(argument, input)).collect(),
            order: call.order.iter().map(|key| sort_key(key, 0)).collect(),
            direct: call.direct.as_ref().map(direct),
            distinct: call.distinct && distinct_matters(call.function),
            filter: call.filter.as_ref().map(|filter| self.compile_over(filter, input)),
        }
    }
}

/// Whether counting equal arguments once makes a difference.
fn distinct_matters(function: plan::Aggregate) -> bool {
    use plan::Aggregate as A;
    !matches!(function, A::Min | A::Max | A::BoolAnd | A::BoolOr | A::BitAnd | A::BitOr)
}

fn function(call: &plan::AggregateCall) -> AggregateFunction {
    use AggregateFunction as F;
    use plan::Aggregate as A;
    let argument = call.arguments.first().map(|argument| &argument.data_type);
    let double = argument == Some(&DataType::Double);
    let dispersion = |sample, root| F::Dispersion(Dispersion { double, sample, root });
    match (call.function, argument) {
        (A::Count, _) => F::Count,
        (A::Sum, Some(DataType::Double)) => F::SumDouble,
        (A::Sum, Some(DataType::Bigint)) => F::SumBigint,
        (A::Sum, Some(DataType::Numeric(_))) => F::SumNumeric,
        (A::Sum, _) => F::SumInteger,
        (A::Avg, Some(DataType::Double)) => F::AvgDouble,
        (A::Avg, Some(DataType::Numeric(_))) => F::AvgNumeric,
        (A::Avg, _) => F::AvgInteger,
        (A::Min, _) => F::Min,
        (A::Max, _) => F::Max,
        (A::BoolAnd, _) => F::BoolAnd,
        (A::BoolOr, _) => F::BoolOr,
        (A::BitAnd, _) => F::Bits(Bitwise::And),
        (A::BitOr, _) => F::Bits(Bitwise::Or),
        (A::BitXor, _) => F::Bits(Bitwise::Xor),
        (A::VarPop, _) => dispersion(false, false),
        (A::VarSamp, _) => dispersion(true, false),
        (A::StddevPop, _) => dispersion(false, true),
        (A::StddevSamp, _) => dispersion(true, true),
        (A::StringAgg, _) => F::Gather(Gathering::Text),
        (A::ArrayAgg, _) => F::Gather(Gathering::Array),
        (A::JsonAgg, _) => F::Gather(Gathering::JsonArray),
        (A::JsonObjectAgg, _) => F::Gather(Gathering::JsonObject),
        (A::PercentileDisc, _) => F::Rank(Rank::Discrete),
        (A::PercentileCont, _) => F::Rank(Rank::Continuous),
        (A::Mode, _) => F::Rank(Rank::Mode),
    }
}
