//! The door to whoever follows requests across services: trace context (W3C), and, where it is configured, spans over
//! OTLP. Nothing waits for it.
//!
//! Knows neither who calls nor what is called: it is told when a request is over.

mod context;

#[cfg(feature = "server")]
mod config;
#[cfg(feature = "server")]
mod export;
#[cfg(feature = "server")]
mod otlp;
mod told;

#[cfg(feature = "server")]
pub use config::TraceConfig;
pub use context::{Context, Parent};
pub use told::{Call, Told};

/// Begins traces, and hands over what is told of requests that are over. Clones share one queue.
#[derive(Clone)]
pub struct Tracer {
    /// Of the traces that begin here, how many are sampled: 0 to 1.
    sample: f64,
    #[cfg(feature = "server")]
    export: Option<export::Export>,
}

impl Tracer {
    /// Continues traces and exports nothing. A trace that begins here is sampled: whoever is called decides for itself.
    pub fn off() -> Self {
        Self {
            sample: 1.0,
            #[cfg(feature = "server")]
            export: None,
        }
    }

    /// Exports to where `config` says, from now on; needs a runtime.
    ///
    /// # Errors
    /// What of the section cannot be used, in words.
    #[cfg(feature = "server")]
    pub fn open(
        config: &TraceConfig,
        metrics: &std::sync::Arc<crate::metrics::Metrics>,
    ) -> Result<Self, String> {
        Ok(Self { sample: config.sample, export: export::Export::open(config, metrics)? })
    }

    /// The span of a request: the next in its caller's trace, else the first of a new one.
    pub fn begin(&self, parent: Option<&Parent>) -> Context {
        match parent {
            Some(parent) => Context::continued(parent, rand::random()),
            None => Context::begun(rand::random(), rand::random(), rand::random::<f64>() < self.sample),
        }
    }

    /// A span within that of a request.
    pub fn within(&self, context: &Context) -> Context {
        context.child(rand::random())
    }

    /// Whether anything is exported at all, so that it is worth being told.
    pub fn exports(&self) -> bool {
        #[cfg(feature = "server")]
        let exports = self.export.is_some();
        #[cfg(not(feature = "server"))]
        let exports = false;
        exports
    }

    /// Takes what is told of a request that is over; what has no room, or is not sampled, is left out.
    pub fn tell(&self, told: Told) {
        #[cfg(feature = "server")]
        if let Some(export) = self.export.as_ref().filter(|_| told.context.sampled) {
            export.take(told);
        }
        #[cfg(not(feature = "server"))]
        drop(told);
    }

    /// Hands over what still waits, for a moment.
    #[cfg(feature = "server")]
    pub async fn close(&self) {
        if let Some(export) = &self.export {
            export.close().await;
        }
    }
}
