"""What figures are kept by: what measures them and what shows them use the same names."""

EXPORT = "scribe-export"
BATCHES = "scribe-export, batches, zstd"
BATCHES_GZIP = "scribe-export, batches, gzip"
BATCHES_PLAIN = "scribe-export, batches, plain"

FILE_EACH = "scribe-export, a file a scan"
LOOP = "a loop, a file a scan"
LOOP_THREADS = "a loop in 32 threads"
DLT_GZIP = "dlt, gzip"
DLT_PLAIN = "dlt, plain"
DLT_UNNESTING = "dlt, unnesting as it comes"
SINGER = "Singer, target-jsonl"

OBJECT_EACH = "scribe-export, an object a scan"
GUIDE_S3 = "the guide's function"
GUIDE_S3_THREADS = "the guide's function in 32 threads"
SINGER_S3_GZIP = "Singer, target-s3, gzip"
SINGER_S3_PLAIN = "Singer, target-s3, plain"

CAREFUL = "a careful script, same batches"
GUIDE = "the guide's functions"
GUIDE_THREADS = "the guide's functions in 32 threads"

ALIKE = {
    LOOP: FILE_EACH,
    LOOP_THREADS: FILE_EACH,
    DLT_GZIP: BATCHES_GZIP,
    DLT_PLAIN: BATCHES_PLAIN,
    SINGER: BATCHES_PLAIN,
    GUIDE_S3: OBJECT_EACH,
    GUIDE_S3_THREADS: OBJECT_EACH,
    SINGER_S3_GZIP: BATCHES_GZIP,
    SINGER_S3_PLAIN: BATCHES_PLAIN,
}
"""What of ours stores as another does."""

RAW = "raw"
LEDGER = "ledger, {} scans a commit"
LANES = "lanes"
STARTUP = "startup"

DESTINATIONS = ("s3", "sqs", "dynamodb", "lambda", "gcs", "pubsub", "bigquery")
ALL = "all seven"
UNWATCHED = "{}, unwatched"
BEHIND = "s3, after a restart"
STAGES = (
    "decode",
    "route",
    "journal",
    "seal",
    "read back",
    "encode",
    "compress",
    "sign and send",
    "settle",
    "event loop and the rest",
)
