//! Answers that come line by line.

use lifeboat_model::trace::TraceEvent;
use lifeboat_transport::http::Lines;

use crate::{ClientError, api::EventRow};

macro_rules! streams {
    ($($(#[$doc:meta])* $name:ident of $row:ty;)*) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name(pub(crate) Lines);

        impl $name {
            /// The next one; none when the stream has ended. May be dropped and called again without losing anything.
            ///
            /// # Errors
            /// [`ClientError::Lost`] when the connection breaks or the line cannot be understood.
            pub async fn next(&mut self) -> Result<Option<$row>, ClientError> {
                self.0.next().await.map_err(ClientError::Lost)
            }
        }
    )*};
}

streams! {
    /// Events as they come.
    EventStream of EventRow;
    /// A trace as it comes.
    TraceStream of TraceEvent;
}
