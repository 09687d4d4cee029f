//! The feed-forward sublayer, as `model/feed_forward.rs` has it.

use super::attention::project_residual;
use super::buffer::Buffer;
use super::driver::Dtype;
use super::kernels::Kernels;
use super::product::DeviceMatrix;
use super::stack::DeviceScratch;
use crate::Error;
use crate::math::dropout::Site;
use crate::math::elementwise::Gated;
use crate::model::FeedForwardLayout;
use std::ops::Range;

/// What the forward pass keeps for the backward pass.
#[derive(Debug)]
pub(super) struct DeviceSavedFeedForward {
    /// Before a gated activation `[n, 2, d_ff]`; unused with relu, whose output says all.
    pre: Buffer,
    /// What the second matrix reads, `[n, d_ff]`.
    hidden: Buffer,
}

impl DeviceSavedFeedForward {
    pub fn new(kernels: &Kernels, activations: Dtype) -> DeviceSavedFeedForward {
        DeviceSavedFeedForward {
            pre: Buffer::new(&kernels.driver, activations),
            hidden: Buffer::new(&kernels.driver, activations),
        }
    }
}

/// A feed-forward sublayer and where it is used.
#[derive(Debug, Clone, Copy)]
pub(super) struct DeviceFeedForward<'a> {
    pub kernels: &'a Kernels,
    pub layout: &'a FeedForwardLayout,
    pub parameters: &'a Buffer,
    pub weights: &'a Buffer,
    pub epsilon: f32,
    /// `None`: relu.
    pub gated: Option<Gated>,
    /// Positions of a row.
    pub length: usize,
    /// Of the hidden values and of the output.
    pub dropout: Option<(Site, Site)>,
}

impl<'a> DeviceFeedForward<'a> {
    /// `(d_model, d_ff, columns of wi)`.
    fn sizes(&self) -> (usize, usize, usize) {
        let d = self.layout.norm.len();
        (d, self.layout.wo.len() / d, self.layout.wi.len() / d)
    }

    fn weight(&self, range: &Range<usize>, columns: usize) -> DeviceMatrix<'a> {
        let view = self.weights.view(range.clone());
        DeviceMatrix::new(view, range.len() / columns, columns)
    }

    /// Dropout of the hidden values, of the output.
    fn sites(&self) -> (Option<Site>, Option<Site>) {
        self.dropout.unzip()
    }

    /// `out = x + f(norm(x) W_i) W_o`, both `[n, d_model]`.
    pub fn forward(
        &self,
        x: &Buffer,
        out: &mut Buffer,
        saved: &mut DeviceSavedFeedForward,
        scratch: &mut DeviceScratch,
    ) -> Result<(), Error> {
        self.inner(x, saved, scratch)?;
        let (d, d_ff, _) = self.sizes();
        let hidden = DeviceMatrix::new(saved.hidden.all(), x.len() / d, d_ff);
        let weight = self.weight(&self.layout.wo, d_ff);
        let (dropout, shape) = (self.sites().1, (self.length, d));
        project_residual(self.kernels, x, out, hidden, weight, dropout, shape, scratch)
    }

    /// The part that the backward pass needs.
    pub fn inner(
        &self,
        x: &Buffer,
        saved: &mut DeviceSavedFeedForward,
        scratch: &mut DeviceScratch,
    ) -> Result<(), Error> {
        let kernels = self.kernels;
        let (d, d_ff, columns) = self.sizes();
        let n = x.len() / d;
        let norm = self.parameters.view(self.layout.norm.clone());
        scratch.norm(kernels, x, norm, self.epsilon)?;
        let y = DeviceMatrix::new(scratch.y.all(), n, d);
        let weight = self.weight(&self.layout.wi, d).t();
        saved.hidden.resize(n * d_ff)?;
        let (dropout, shape) = (self.sites().0, (self.length, d_ff));
        match self.gated {
            None => {
                kernels.multiply(saved.hidden.all_mut(), 0.0, 1.0, y, weight)?;
                kernels.relu(saved.hidden.all_mut(), dropout, shape)
            }
            Some(gated) => {
                saved.pre.resize(n * columns)?;
                kernels.multiply(saved.pre.all_mut(), 0.0, 1.0, y, weight)?;
                kernels.gated(gated, saved.pre.all(), saved.hidden.all_mut(), dropout, shape)
            }
        }
    }

    /// Takes the gradient of the output in `dx`, leaves that of the input there; gradients of variables are added to. What was
    /// saved is used up.
    pub fn backward(
        &self,
        x: &Buffer,
        dx: &mut Buffer,
        saved: &mut DeviceSavedFeedForward,
        scratch: &mut DeviceScratch,
        gradients: &mut Buffer,
    ) -> Result<(), Error> {
        let kernels = self.kernels;
        let (d, d_ff, columns) = self.sizes();
        let n = x.len() / d;
        scratch.dout.resize(n * d)?;
        let dropout = self.sites().1;
        kernels.cast(dx.all(), scratch.dout.all_mut(), dropout, (self.length, d))?;
        let dout = DeviceMatrix::new(scratch.dout.all(), n, d);
        let hidden = DeviceMatrix::new(saved.hidden.all(), n, d_ff);
        let gradient = gradients.view_mut(self.layout.wo.clone());
        kernels.multiply(gradient, 1.0, 1.0, dout.t(), hidden)?;
        scratch.wide.resize(n * d_ff)?;
        let weight = self.weight(&self.layout.wo, d_ff);
        kernels.multiply(scratch.wide.all_mut(), 0.0, 1.0, dout, weight)?;
        let (dropout, shape) = (self.sites().0, (self.length, d_ff));
        let dpre = match self.gated {
            None => {
                // What dropout took is 0 in `hidden`, too.
                let factor = dropout.map_or(1.0, |site| site.scale);
                kernels.relu_backward(scratch.wide.all_mut(), saved.hidden.all(), factor)?;
                &scratch.wide
            }
            Some(gated) => {
                let pre = saved.pre.all_mut();
                kernels.gated_backward(gated, pre, scratch.wide.all(), dropout, shape)?;
                &saved.pre
            }
        };
        let dpre = DeviceMatrix::new(dpre.all(), n, columns);
        let norm = self.parameters.view(self.layout.norm.clone());
        scratch.y.resize(n * d)?;
        scratch.inverse.resize(n)?;
        kernels.norm(
            x.all(),
            norm,
            scratch.y.all_mut(),
            scratch.inverse.all_mut(),
            self.epsilon,
        )?;
        let y = DeviceMatrix::new(scratch.y.all(), n, d);
        let gradient = gradients.view_mut(self.layout.wi.clone());
        kernels.multiply(gradient, 1.0, 1.0, dpre.t(), y)?;
        scratch.dy.resize(n * d)?;
        let weight = self.weight(&self.layout.wi, d);
        kernels.multiply(scratch.dy.all_mut(), 0.0, 1.0, dpre, weight)?;
        let gradient = gradients.view_mut(self.layout.norm.clone());
        scratch.norm_backward(kernels, x, norm, dx, gradient)
    }
}
