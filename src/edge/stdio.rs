//! Lines in, lines out: MCP over standard input and output (server transports, stdio). Whoever is at the far end of the
//! lines, the desk or a server elsewhere, answers them.
//!
//! Decides nothing; knows lines and no message.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use tokio::fs::File;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};

use crate::gate::{Desk, EventReader, Line, Visitor};

/// The longest line that is read, in bytes.
pub const LONGEST: usize = 4 << 20;

/// How long what is being worked on may take after the last line.
const GRACE: Duration = Duration::from_secs(5);

/// How long the last answers may take to be written.
const FAREWELL: Duration = Duration::from_secs(1);

/// Who is at the far end.
#[async_trait::async_trait]
pub trait Far: Send + Sync {
    /// Takes one line, without its end. What is said to it comes elsewhere.
    fn take(&self, line: &[u8]);

    /// A line was longer than [`LONGEST`] and is lost.
    fn lost(&self);

    /// Ends when another line may be taken.
    async fn room(&self);

    /// Ends when nothing is being worked on.
    async fn idle(&self);

    /// Nobody wants anything any more: what is being worked on is given up, and nothing more is said.
    fn close(&self);
}

/// Reads `input` to its end and writes what is `said`, which must end when `far` is closed. After the last line, what is
/// under way has a moment to end. Ends at once where nobody reads `output` any more.
pub async fn serve(
    input: impl AsyncRead,
    output: impl AsyncWrite,
    far: &dyn Far,
    said: impl Stream<Item = Bytes>,
) {
    let writing = write(output, said);
    let reading = async {
        read(input, far).await;
        // Whoever closed the input may still read; but not for ever.
        let _ = tokio::time::timeout(GRACE, far.idle()).await;
        far.close();
    };
    tokio::pin!(writing, reading);
    tokio::select! {
        () = &mut reading => { let _ = tokio::time::timeout(FAREWELL, writing).await; }
        () = &mut writing => far.close(),
    }
}

/// This process's standard input and output. Both are read and written off the runtime's threads, as files are.
///
/// # Errors
/// Where one of them is closed.
pub fn standard() -> io::Result<(File, File)> {
    let file = |fd: BorrowedFd<'_>| fd.try_clone_to_owned().map(|fd| File::from_std(fd.into()));
    Ok((file(io::stdin().as_fd())?, file(io::stdout().as_fd())?))
}

/// Hands over each line that is not blank.
async fn read(input: impl AsyncRead, far: &dyn Far) {
    let input = BufReader::with_capacity(64 << 10, input);
    tokio::pin!(input);
    let (mut line, mut lost) = (Vec::new(), false);
    loop {
        let Ok(piece) = input.fill_buf().await else { return };
        let end = piece.iter().position(|byte| *byte == b'\n');
        let (taken, whole, over) = match end {
            Some(end) => (end + 1, true, false),
            // The last line may have no end.
            None => (piece.len(), piece.is_empty(), piece.is_empty()),
        };
        let part = piece.get(..end.unwrap_or(taken)).unwrap_or_default();
        lost |= line.len() + part.len() > LONGEST;
        if lost {
            line = Vec::new();
        } else {
            line.extend_from_slice(part);
        }
        input.as_mut().consume(taken);
        if whole {
            if std::mem::take(&mut lost) {
                far.lost();
            } else if !line.iter().all(u8::is_ascii_whitespace) {
                far.room().await;
                far.take(&line);
            }
            line.clear();
        }
        if over {
            return;
        }
    }
}

async fn write(output: impl AsyncWrite, said: impl Stream<Item = Bytes>) {
    tokio::pin!(output, said);
    while let Some(message) = said.next().await {
        let mut line = Vec::with_capacity(message.len() + 1);
        // Line ends within JSON text are white space.
        line.extend(message.iter().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte }));
        line.push(b'\n');
        if output.write_all(&line).await.is_err() || output.flush().await.is_err() {
            return;
        }
    }
}

/// The desk in this process.
pub struct AtDesk {
    desk: Arc<Desk>,
    line: Arc<Line>,
    visitor: Visitor,
}

impl AtDesk {
    /// `visitor`'s line to `desk`, and what is said on it.
    pub fn open(desk: Arc<Desk>, visitor: Visitor) -> (Self, impl Stream<Item = Bytes>) {
        let (line, reader) = Line::open(visitor.agent_id(), None);
        let next = |mut reader: EventReader| async { Some((reader.next().await?.data, reader)) };
        let said = stream::unfold(reader, next).filter(|data| std::future::ready(!data.is_empty()));
        (Self { desk, line, visitor }, said)
    }
}

#[async_trait::async_trait]
impl Far for AtDesk {
    fn take(&self, line: &[u8]) {
        self.desk.take(&self.line, self.visitor.clone(), line);
    }

    fn lost(&self) {
        self.desk.turn_down(&self.line, LONGEST);
    }

    async fn room(&self) {
        self.line.room().await;
    }

    async fn idle(&self) {
        self.line.idle().await;
    }

    fn close(&self) {
        self.line.close();
    }
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;

    use super::*;

    /// Remembers lines.
    #[derive(Default)]
    struct Heard(Mutex<Vec<String>>);

    #[async_trait::async_trait]
    impl Far for Heard {
        fn take(&self, line: &[u8]) {
            self.0.lock().push(String::from_utf8_lossy(line).into_owned());
        }

        fn lost(&self) {
            self.0.lock().push("(lost)".to_owned());
        }

        async fn room(&self) {}

        async fn idle(&self) {}

        fn close(&self) {
            self.0.lock().push("(closed)".to_owned());
        }
    }

    async fn heard(input: &[u8]) -> Vec<String> {
        let far = Heard::default();
        read(input, &far).await;
        far.0.into_inner()
    }

    #[tokio::test]
    async fn each_line_is_handed_over_whole_and_blank_ones_are_not() {
        assert_eq!(heard(b"a\n\n \t\r\nb c\nlast").await, ["a", "b c", "last"]);
        assert_eq!(heard(b"").await, [""; 0]);
        let long = "x".repeat(200_000);
        assert_eq!(heard(format!("{long}\n1\n").as_bytes()).await, [long.as_str(), "1"]);
    }

    #[tokio::test]
    async fn a_line_that_is_too_long_is_lost_and_the_next_is_not() {
        let (fits, long) = ("x".repeat(LONGEST), "y".repeat(LONGEST + 1));
        let all = heard(format!("{fits}\n{long}\nnext\n{long}").as_bytes()).await;
        assert_eq!(all.len(), 4);
        assert_eq!((all[0].len(), &all[1..]), (LONGEST, &["(lost)", "next", "(lost)"].map(String::from)[..]));
    }

    #[tokio::test]
    async fn what_is_said_is_one_line_each_and_the_end_of_the_input_closes() {
        let far = Heard::default();
        let mut output = Vec::new();
        let said = stream::iter(["{\"a\":\n1}", "{}"].map(Bytes::from)).chain(stream::pending());
        tokio::time::pause();
        serve(&b"one"[..], &mut output, &far, said).await;
        assert_eq!(String::from_utf8(output).unwrap(), "{\"a\": 1}\n{}\n");
        assert_eq!(far.0.into_inner(), ["one", "(closed)"]);
    }

    #[tokio::test]
    async fn who_reads_nothing_more_ends_it() {
        let far = Heard::default();
        let (gone, output) = tokio::io::duplex(8);
        drop(gone);
        let (_open, input) = tokio::io::duplex(8);
        serve(input, output, &far, stream::iter([Bytes::from_static(b"{}")])).await;
        assert_eq!(far.0.into_inner(), ["(closed)"]);
    }
}
