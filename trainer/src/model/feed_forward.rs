//! The feed-forward sublayer: `x + f(norm(x) W_i) W_o`. An adapter is one, too.

use super::attention::{Input, SublayerScratch};
use super::backend::{Backend, Kind, Operand};
use super::layout::{FeedForwardLayout, Layout};
use super::norm::Gradient;
use crate::Error;
use crate::math::dropout::Site;
use crate::math::elementwise::Gated;
use crate::math::matrix::Into;
use std::ops::Range;

/// What the forward pass keeps for the backward pass.
#[derive(Debug)]
pub(crate) struct SavedFeedForward<B: Backend> {
    /// The norm's factors, `[n]`.
    inverse: B::Buffer,
    /// Before a gated activation `[n, 2, d_ff]`; unused with relu, whose output says all.
    pre: B::Buffer,
    /// What the second matrix reads, `[n, d_ff]`: after activation and dropout.
    hidden: B::Buffer,
}

impl<B: Backend> SavedFeedForward<B> {
    pub fn new(on: &B) -> SavedFeedForward<B> {
        SavedFeedForward {
            inverse: on.buffer(Kind::Value),
            pre: on.buffer(Kind::Activation),
            hidden: on.buffer(Kind::Activation),
        }
    }
}

/// A feed-forward sublayer and where it is used.
pub(crate) struct FeedForwardSublayer<'a, B: Backend> {
    pub layout: &'a FeedForwardLayout,
    /// Says which variables have gradients.
    pub all: &'a Layout,
    /// All variables as values: those of norms are read here.
    pub parameters: &'a B::Buffer,
    /// All variables as products read them.
    pub matrices: &'a B::Buffer,
    pub epsilon: f32,
    /// `None`: relu.
    pub gated: Option<Gated>,
    /// Positions of a row.
    pub length: usize,
    /// Of the hidden values and of the output.
    pub dropout: Option<(Site, Site)>,
}

impl<'a, B: Backend> FeedForwardSublayer<'a, B> {
    /// `(d_model, d_ff, columns of wi)`.
    fn sizes(&self) -> (usize, usize, usize) {
        let d = self.layout.norm.len();
        (d, self.layout.wo.len() / d, self.layout.wi.len() / d)
    }

    fn norm(&self) -> (&'a B::Buffer, &'a Range<usize>) {
        (self.parameters, &self.layout.norm)
    }

    fn matrix(&self, range: &Range<usize>, cols: usize) -> Operand<'a, B::Buffer> {
        Operand::of(self.matrices, range, cols)
    }

    /// `out = x + f(norm(x) W_i) W_o`, both `[batch, length, d_model]`.
    pub fn forward(
        &self,
        on: &mut B,
        x: &B::Buffer,
        out: &mut B::Buffer,
        saved: &mut SavedFeedForward<B>,
        scratch: &mut SublayerScratch<B>,
    ) -> Result<(), Error> {
        self.inner(on, x, saved, scratch)?;
        let (d, d_ff, _) = self.sizes();
        let hidden = Operand::new(&saved.hidden, B::len(x) / d, d_ff);
        let (w, site) = (self.matrix(&self.layout.wo, d_ff), self.dropout.unzip().1);
        on.residual(x, hidden, w, site, (self.length, d), out, &mut scratch.dy)
    }

    /// The part that the backward pass needs.
    pub fn inner(
        &self,
        on: &mut B,
        x: &B::Buffer,
        saved: &mut SavedFeedForward<B>,
        scratch: &mut SublayerScratch<B>,
    ) -> Result<(), Error> {
        let (d, d_ff, columns) = self.sizes();
        let n = B::len(x) / d;
        on.resize(&mut saved.inverse, n)?;
        on.resize(&mut scratch.y, n * d)?;
        on.norm(x, self.norm(), self.epsilon, &mut scratch.y, &mut saved.inverse)?;
        let y = Operand::new(&scratch.y, n, d);
        let w = self.matrix(&self.layout.wi, d).t();
        let (site, shape, all) = (self.dropout.unzip().0, (self.length, d_ff), 0..n * columns);
        on.resize(&mut saved.hidden, n * d_ff)?;
        match self.gated {
            None => {
                on.gemm((&mut saved.hidden, &all), Into::Set, 1.0, y, w)?;
                on.relu(&mut saved.hidden, site, shape)
            }
            Some(f) => {
                on.resize(&mut saved.pre, n * columns)?;
                on.gemm((&mut saved.pre, &all), Into::Set, 1.0, y, w)?;
                on.gated(f, &saved.pre, &mut saved.hidden, site, shape)
            }
        }
    }

    /// Takes the gradient of the output in `dx`, leaves that of the input there, if it is wanted; gradients of trained
    /// variables are added to. What was saved is used up.
    #[allow(clippy::too_many_arguments)]
    pub fn backward(
        &self,
        on: &mut B,
        x: &B::Buffer,
        dx: &mut B::Buffer,
        saved: &mut SavedFeedForward<B>,
        scratch: &mut SublayerScratch<B>,
        input: Input,
        gradients: &mut B::Buffer,
    ) -> Result<(), Error> {
        let places = [&self.layout.norm, &self.layout.wi, &self.layout.wo].map(|range| self.all.gradient(range));
        let [norm, wi, wo] = places;
        let SublayerScratch { y, dy, wide, dout } = scratch;
        let layout = self.layout;
        let (d, d_ff, columns) = self.sizes();
        let n = B::len(x) / d;
        let (of_hidden, of_output) = self.dropout.unzip();
        let dout = on.dropped(dx, of_output, (self.length, d), dout)?;
        let dout = Operand::new(dout, n, d);
        if let Some(wo) = &wo {
            let hidden = Operand::new(&saved.hidden, n, d_ff);
            on.gemm((gradients, wo), Into::Add, 1.0, dout.t(), hidden)?;
        }
        let through_norm = input == Input::Wanted || norm.is_some();
        if !through_norm && wi.is_none() {
            return Ok(());
        }
        on.resize(wide, n * d_ff)?;
        on.gemm(
            (wide, &(0..n * d_ff)),
            Into::Set,
            1.0,
            dout,
            self.matrix(&layout.wo, d_ff),
        )?;
        let shape = (self.length, d_ff);
        let dpre = match self.gated {
            None => {
                on.relu_backward(wide, &saved.hidden, of_hidden, shape)?;
                &*wide
            }
            Some(f) => {
                on.gated_backward(f, &mut saved.pre, wide, of_hidden, shape)?;
                &saved.pre
            }
        };
        let dpre = Operand::new(dpre, n, columns);
        if let Some(wi) = &wi {
            on.resize(y, n * d)?;
            on.norm_again(x, self.norm(), self.epsilon, y, &mut saved.inverse)?;
            let y = Operand::new(&*y, n, d);
            on.gemm((gradients, wi), Into::Add, 1.0, dpre.t(), y)?;
        }
        if !through_norm {
            return Ok(());
        }
        on.resize(dy, n * d)?;
        on.gemm((dy, &(0..n * d)), Into::Set, 1.0, dpre, self.matrix(&layout.wi, d))?;
        let dweight = norm.as_ref().map(|norm| (gradients, norm));
        on.norm_backward(dy, x, self.norm(), &saved.inverse, dx, Gradient::Added, dweight)
    }
}
