//! The feed-forward sublayer: `x + f(norm(x) W_i) W_o`.

use super::attention::{SublayerScratch, dropped, project_residual};
use super::layout::FeedForwardLayout;
use super::norm;
use super::scores::resize;
use crate::math::dropout::Site;
use crate::math::elementwise::{self, Gated};
use crate::math::matrix::{Into, Matrix, Threads, multiply};
use rayon::prelude::*;

/// What the forward pass keeps for the backward pass.
#[derive(Debug, Default)]
pub(crate) struct SavedFeedForward {
    inverse: Vec<f32>,
    /// Before a gated activation `[n, 2, d_ff]`; unused with relu, whose output says all.
    pre: Vec<f32>,
    /// What the second matrix reads, `[n, d_ff]`: after activation and dropout.
    hidden: Vec<f32>,
}

/// A feed-forward sublayer and where it is used.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FeedForwardSublayer<'a> {
    pub layout: &'a FeedForwardLayout,
    pub parameters: &'a [f32],
    pub epsilon: f32,
    /// `None`: relu.
    pub gated: Option<Gated>,
    /// Positions of a row.
    pub length: usize,
    /// Of the hidden values and of the output.
    pub dropout: Option<(Site, Site)>,
}

/// Rows of a task.
const ROWS: usize = 16;

impl FeedForwardSublayer<'_> {
    /// `(d_model, d_ff, columns of wi)`.
    fn sizes(&self) -> (usize, usize, usize) {
        let d = self.layout.norm.len();
        (d, self.layout.wo.len() / d, self.layout.wi.len() / d)
    }

    /// `out = x + f(norm(x) W_i) W_o`, both `[n, d_model]`.
    pub fn forward(&self, x: &[f32], out: &mut [f32], saved: &mut SavedFeedForward, scratch: &mut SublayerScratch) {
        self.inner(x, saved, scratch);
        let (d, d_ff, _) = self.sizes();
        let weight = &self.parameters[self.layout.wo.clone()];
        let hidden = Matrix::new(&saved.hidden, x.len() / d, d_ff);
        project_residual(
            x,
            out,
            hidden,
            weight,
            self.dropout.map(|dropout| dropout.1),
            self.length,
            scratch,
        );
    }

    /// The part that the backward pass needs.
    pub fn inner(&self, x: &[f32], saved: &mut SavedFeedForward, scratch: &mut SublayerScratch) {
        let p = self.parameters;
        let (d, d_ff, columns) = self.sizes();
        let n = x.len() / d;
        resize(&mut saved.inverse, n);
        resize(&mut scratch.y, x.len());
        norm::forward(
            x,
            &p[self.layout.norm.clone()],
            self.epsilon,
            &mut scratch.y,
            &mut saved.inverse,
        );
        let y = Matrix::new(&scratch.y, n, d);
        let weight = Matrix::new(&p[self.layout.wi.clone()], columns, d).t();
        resize(&mut saved.hidden, n * d_ff);
        match self.gated {
            None => {
                multiply(&mut saved.hidden, Into::Set, 1.0, y, weight, Threads::All);
                saved.hidden.par_chunks_mut(ROWS * d_ff).for_each(elementwise::relu);
            }
            Some(gated) => {
                resize(&mut saved.pre, n * columns);
                multiply(&mut saved.pre, Into::Set, 1.0, y, weight, Threads::All);
                let rows = saved.pre.par_chunks(columns).zip(saved.hidden.par_chunks_mut(d_ff));
                rows.with_min_len(ROWS)
                    .for_each(|(pre, hidden)| elementwise::gated_row(gated, pre, hidden));
            }
        }
        if let Some((site, _)) = self.dropout {
            site.apply(&mut saved.hidden, self.length, d_ff);
        }
    }

    /// Takes the gradient of the output in `dx`, leaves that of the input there; gradients of variables are added to. What was
    /// saved is used up.
    pub fn backward(
        &self,
        x: &[f32],
        dx: &mut [f32],
        saved: &mut SavedFeedForward,
        scratch: &mut SublayerScratch,
        gradients: &mut [f32],
    ) {
        let p = self.parameters;
        let layout = self.layout;
        let (d, d_ff, columns) = self.sizes();
        let n = x.len() / d;
        let dout = dropped(
            dx,
            self.dropout.map(|dropout| dropout.1),
            (self.length, d),
            &mut scratch.dout,
        );
        let dout = Matrix::new(dout, n, d);
        let hidden = Matrix::new(&saved.hidden, n, d_ff);
        multiply(
            &mut gradients[layout.wo.clone()],
            Into::Add,
            1.0,
            dout.t(),
            hidden,
            Threads::All,
        );
        resize(&mut scratch.wide, n * d_ff);
        let weight = Matrix::new(&p[layout.wo.clone()], d, d_ff);
        multiply(&mut scratch.wide, Into::Set, 1.0, dout, weight, Threads::All);
        let dpre = match self.gated {
            None => {
                // What dropout took is 0 in `hidden`, too.
                let factor = self.dropout.map_or(1.0, |(site, _)| site.scale);
                let block = ROWS * d_ff;
                let tasks = scratch.wide.par_chunks_mut(block).zip(saved.hidden.par_chunks(block));
                tasks.for_each(|(dh, h)| elementwise::relu_backward(dh, h, factor));
                &scratch.wide
            }
            Some(gated) => {
                if let Some((site, _)) = self.dropout {
                    site.apply(&mut scratch.wide, self.length, d_ff);
                }
                let rows = saved.pre.par_chunks_mut(columns).zip(scratch.wide.par_chunks_mut(d_ff));
                rows.with_min_len(ROWS)
                    .for_each(|(pre, dh)| elementwise::gated_row_backward(gated, pre, dh));
                &saved.pre
            }
        };
        let dpre = Matrix::new(dpre, n, columns);
        resize(&mut scratch.y, x.len());
        resize(&mut scratch.dy, x.len());
        norm::again(x, &p[layout.norm.clone()], &mut scratch.y, &saved.inverse);
        let y = Matrix::new(&scratch.y, n, d);
        multiply(
            &mut gradients[layout.wi.clone()],
            Into::Add,
            1.0,
            dpre.t(),
            y,
            Threads::All,
        );
        let weight = Matrix::new(&p[layout.wi.clone()], columns, d);
        multiply(&mut scratch.dy, Into::Set, 1.0, dpre, weight, Threads::All);
        norm::backward(
            &scratch.dy,
            x,
            &p[layout.norm.clone()],
            &saved.inverse,
            dx,
            norm::Gradient::Added,
            &mut gradients[layout.norm.clone()],
        );
    }
}
