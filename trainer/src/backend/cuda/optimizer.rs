//! Adafactor and AdamW, as `optimizer/` has them, on a device: the state lies as there. Nothing of a step comes back to
//! the host: what a variable's update is scaled with stays on the device as sums of squares.

use super::buffer::{Buffer, View};
use super::driver::Dtype;
use super::kernels::{AdamNumbers, Kernels, Step};
use crate::Error;
use crate::model::{Layout, Variable};
use crate::optimizer::{Adafactor, AdamW, Optimizer};

/// An optimiser with its state on a device.
#[derive(Debug)]
pub(super) struct DeviceOptimizer {
    kernels: Kernels,
    /// Settings, and where each variable's state is; what state it holds itself is of no account.
    plan: Plan,
    state: Buffer,
    /// Sums of squares: of a variable, of its update; and a mean.
    sums: Buffer,
    /// Of sums in two steps.
    partial: Buffer,
    parts: Buffer,
    rows: Buffer,
    columns: Buffer,
}

#[derive(Debug)]
enum Plan {
    Adafactor(Adafactor),
    AdamW(AdamW),
}

impl DeviceOptimizer {
    pub fn new(kernels: &Kernels, optimizer: &Optimizer) -> Result<DeviceOptimizer, Error> {
        let buffer = |dtype| Buffer::new(&kernels.driver, dtype);
        let mut state = buffer(Dtype::F32);
        state.set(optimizer.state())?;
        Ok(DeviceOptimizer {
            kernels: kernels.clone(),
            plan: match optimizer {
                Optimizer::Adafactor(optimizer) => Plan::Adafactor(optimizer.without_state()),
                Optimizer::AdamW(optimizer) => Plan::AdamW(optimizer.without_state()),
            },
            state,
            sums: Buffer::zeros(&kernels.driver, Dtype::F64, 3)?,
            partial: buffer(Dtype::F64),
            parts: buffer(Dtype::F32),
            rows: buffer(Dtype::F32),
            columns: buffer(Dtype::F32),
        })
    }

    /// All that it remembers.
    pub fn state(&self) -> Result<Vec<f32>, Error> {
        self.state.get()
    }

    /// As [`Optimizer::update`].
    pub fn update(
        &mut self,
        layout: &Layout,
        parameters: &mut Buffer,
        gradients: &Buffer,
        rate: f64,
        step: u64,
    ) -> Result<(), Error> {
        for (number, variable) in layout.variables().iter().enumerate() {
            let (Some(began), Some(gradient)) = (variable.trained, &variable.gradient) else {
                continue;
            };
            let g = gradients.view(gradient.clone());
            let least = match &self.plan {
                Plan::Adafactor(plan) => plan.config().min_parameter_scale,
                Plan::AdamW(plan) => plan.config().min_parameter_scale,
            };
            if least.is_some() {
                let w = parameters.view(variable.range.clone());
                self.kernels.square_sums(w, &mut self.partial)?;
                let out = self.sums.view_mut(0..1);
                self.kernels.sum(self.partial.all(), out)?;
            }
            let place = VariableStep {
                number,
                variable,
                rate,
                step: step - began,
                least: least.unwrap_or(-1.0),
            };
            match self.plan {
                Plan::Adafactor(_) => self.adafactor(place, parameters, g)?,
                Plan::AdamW(_) => self.adamw(place, parameters, g)?,
            }
        }
        Ok(())
    }

    fn adafactor(&mut self, place: VariableStep<'_>, parameters: &mut Buffer, g: View<'_>) -> Result<(), Error> {
        let Plan::Adafactor(plan) = &self.plan else {
            return Ok(());
        };
        let (kernels, config) = (&self.kernels, plan.config());
        let (factored, range) = plan.slot(place.number);
        let decay = config.decay(place.step);
        let epsilon = config.epsilon;
        match factored {
            None => {
                let v = self.state.view_mut(range.clone());
                kernels.moments(v, g, decay, epsilon, &mut self.partial)?;
            }
            Some((matrices, rows, columns)) => {
                assert_eq!(matrices, 1, "a model's variables are matrices or vectors");
                let of_rows = range.start..range.start + rows;
                let of_columns = of_rows.end..range.end;
                let state = &mut self.state;
                kernels.factored_moments(g, state.view_mut(of_rows.clone()), decay, epsilon)?;
                kernels.column_moments(g, state.view_mut(of_columns.clone()), decay, epsilon, &mut self.parts)?;
                self.rows.resize(rows)?;
                self.columns.resize(columns)?;
                kernels.mean(state.view(of_rows.clone()), self.sums.view_mut(2..3))?;
                let mean = Some(self.sums.view(2..3));
                kernels.inverse_roots(state.view(of_rows), mean, self.rows.all_mut())?;
                kernels.inverse_roots(state.view(of_columns), None, self.columns.all_mut())?;
                let (by_row, by_column) = (self.rows.all(), self.columns.all());
                kernels.factored_squares(g, by_row, by_column, &mut self.partial)?;
            }
        }
        kernels.sum(self.partial.all(), self.sums.view_mut(1..2))?;
        let w = parameters.view_mut(place.variable.range.clone());
        let step = Step {
            sums: self.sums.view(0..2),
            rate: place.rate,
            clip: config.clip_threshold,
            least: place.least,
        };
        match factored {
            None => kernels.moments_step(w, g, self.state.view(range), step),
            Some(_) => kernels.factored_step(w, g, self.rows.all(), self.columns.all(), step),
        }
    }

    fn adamw(&mut self, place: VariableStep<'_>, parameters: &mut Buffer, g: View<'_>) -> Result<(), Error> {
        let Plan::AdamW(plan) = &self.plan else {
            return Ok(());
        };
        let range = place.variable.range.clone();
        let matrix = place.variable.shape.len() > 1;
        let numbers = plan.config().numbers(place.rate, 1.0, place.step, matrix);
        self.kernels.adam_step(
            parameters.view_mut(range.clone()),
            g,
            (self.state.all_mut(), plan.place(place.number).start),
            self.sums.view(0..1),
            AdamNumbers {
                beta1: numbers.beta1,
                beta2: numbers.beta2,
                keep: numbers.keep,
                rate: numbers.rate,
                root: numbers.root,
                epsilon: numbers.epsilon,
                least: place.least,
            },
        )
    }
}

/// A variable in a step.
struct VariableStep<'a> {
    number: usize,
    variable: &'a Variable,
    rate: f64,
    step: u64,
    least: f64,
}
