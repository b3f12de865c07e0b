/**
 * The tests of the public suite that are left out, and why. Each is run, and has to fail: one that
 * would pass does not belong here.
 */

/** Tests by the name of their group, and the reason that they share. */
interface LeftOut {
  readonly reason: string
  readonly tests: Readonly<Record<string, ReadonlyArray<string>>>
}

export const leftOut: ReadonlyArray<LeftOut> = [
  {
    reason: "A program emits: nobody appends over HTTP, so a sequence of writers (`Stream-Seq`) has no meaning.",
    tests: {
      "Append Operations": [
        "should enforce sequence ordering with seq"
      ],
      "HTTP Protocol": [
        "should enforce sequence ordering",
        "should enforce lexicographic seq ordering (\"2\" then \"10\" rejects)",
        "should allow lexicographic seq ordering (\"09\" then \"10\" succeeds)",
        "should reject duplicate seq values"
      ],
      "Case-Insensitivity": [
        "should accept headers with different casing"
      ],
      "Protocol Edge Cases": [
        "should enforce case-sensitive seq ordering"
      ],
      "Property-Based Tests (fast-check) > Sequence Ordering Properties": [
        "lexicographically ordered seq values are accepted",
        "out-of-order seq values are rejected"
      ],
      "Property-Based Tests (fast-check) > Concurrent Writer Stress Tests": [
        "concurrent writers with sequence numbers - server handles gracefully",
        "concurrent writers racing with incrementing seq values"
      ]
    }
  },
  {
    reason:
      "Producers (`Producer-Id`, `Producer-Epoch`, `Producer-Seq`) are those who append over HTTP: there are none.",
    tests: {
      "Idempotent Producer Operations": [
        "should accept first append with producer headers (epoch=0, seq=0)",
        "should accept sequential producer sequences",
        "should return 204 for duplicate sequence (idempotent success)",
        "should accept epoch upgrade (new epoch starts at seq=0)",
        "should reject stale epoch with 403 (zombie fencing)",
        "should reject sequence gap with 409",
        "should reject epoch increase with seq != 0",
        "should require all producer headers together",
        "should reject invalid integer formats in producer headers",
        "multiple producers should have independent state",
        "duplicate of seq=0 should not corrupt state",
        "duplicate response should return highest accepted seq, not request seq",
        "split-brain fencing scenario",
        "epoch rollback should be rejected",
        "producer headers work with Stream-Seq header",
        "producer duplicate should return 204 even with Stream-Seq header",
        "should store and read back data correctly",
        "should preserve order of sequential producer writes",
        "duplicate should not corrupt or duplicate data",
        "multiple producers should interleave correctly",
        "should store and read back JSON object correctly",
        "should preserve order of JSON appends with producer",
        "JSON duplicate should not corrupt data",
        "should reject invalid JSON with producer headers",
        "should reject empty JSON array with producer headers",
        "should return 404 for non-existent stream",
        "should return 409 for content-type mismatch",
        "should return 400 for empty body",
        "should reject empty Producer-Id"
      ],
      "Stream Closure > Idempotent Producers with Stream Closure": [
        "idempotent-close-with-append: Close with final append using producer headers",
        "idempotent-close-only-with-producer-headers: Close-only with producer headers updates state",
        "idempotent-close-duplicate-returns-204: Duplicate close (same tuple) returns 204",
        "idempotent-close-different-tuple-returns-409: Different producer/seq gets 409",
        "idempotent-close-different-seq-returns-409: Same producer, different seq gets 409",
        "idempotent-close-only-duplicate-returns-204: Duplicate close-only (no body) returns 204"
      ],
      "Stream Closure > Edge Cases": [
        "producer-state-survives-close: Stale-epoch producer gets 403, not 409 STREAM_CLOSED",
        "close-with-different-body-dedup: Retry close with different body deduplicates to original"
      ]
    }
  },
  {
    reason: "A reader deletes nothing: `DELETE` is answered with 405. A log forgets by its retention.",
    tests: {
      "Basic Stream Operations": [
        "should delete a stream",
        "should properly isolate recreated stream after delete"
      ],
      "HTTP Protocol": [
        "should return 404 on DELETE non-existent stream",
        "should return 204 on successful DELETE"
      ],
      "Stream Closure > Edge Cases": [
        "delete-closed-stream: Deleting a closed stream removes it (returns 404 after)"
      ]
    }
  },
  {
    reason:
      "A stream has no age of its own (`Stream-TTL`, `Stream-Expires-At`): how long a log is kept is its broker's.",
    tests: {
      "TTL and Expiry Validation": [
        "should reject both TTL and Expires-At (400)",
        "should reject invalid TTL (non-integer)",
        "should reject negative TTL",
        "should accept valid TTL",
        "should accept valid Expires-At"
      ],
      "TTL and Expiry Edge Cases": [
        "should reject TTL with leading zeros",
        "should reject TTL with plus sign",
        "should reject TTL with float value",
        "should reject TTL with scientific notation",
        "should reject invalid Expires-At timestamp",
        "should accept Expires-At with Z timezone",
        "should accept Expires-At with timezone offset",
        "should handle idempotent PUT with same TTL",
        "should reject idempotent PUT with different TTL"
      ],
      "HEAD Metadata Edge Cases": [
        "should return TTL metadata if configured"
      ],
      "TTL Expiration Behavior": [
        "should return 404 on HEAD after TTL expires",
        "should return 404 on GET after TTL expires (idle)",
        "should return 404 on POST append after TTL expires (idle)",
        "should return 404 on HEAD after Expires-At passes",
        "should return 404 on GET after Expires-At passes",
        "should return 404 on POST append after Expires-At passes",
        "should allow recreating stream after TTL expires",
        "should extend TTL on write (sliding window)",
        "should extend TTL on GET ?offset=now (sliding window)",
        "should extend TTL on close-only POST (sliding window)",
        "should extend TTL on producer close-only POST (sliding window)",
        "should extend TTL on read (sliding window)",
        "should NOT extend TTL on HEAD",
        "should NOT extend Expires-At on read or write"
      ]
    }
  },
  {
    reason: "Every stream is of JSON, so nothing is sent in base64 (`Stream-SSE-Data-Encoding`).",
    tests: {
      "SSE Mode": [
        "base64 SSE catch-up pairs every data event with a control event",
        "should auto-detect binary streams and return base64 encoded data in SSE mode",
        "should include Stream-SSE-Data-Encoding header for binary streams",
        "should handle large binary payload with auto-detected base64 encoding",
        "should handle binary data with special bytes using auto-detected base64 encoding",
        "should auto-detect base64 encoding for application/x-protobuf streams",
        "should auto-detect base64 encoding for image/png streams"
      ]
    }
  },
  {
    reason: "No stream is made from another: a run is where its program is.",
    tests: {
      "Fork - Creation": [
        "should fork at current head (default)",
        "should fork at a specific offset",
        "should fork at zero offset (empty inherited data)",
        "should fork at head offset (all source data inherited)",
        "should return 404 when forking a nonexistent stream",
        "should return 400 when forking at offset beyond stream length",
        "should return 409 when forking to path already in use with different config",
        "should fork a closed stream — fork starts open",
        "should fork an empty stream",
        "should fork preserving content-type when specified",
        "should fork inheriting content-type when header omitted",
        "should fork at a binary sub-offset within an append",
        "should fork at a JSON sub-offset within a flattened batch",
        "should treat sub-offset 0 as equivalent to absent header",
        "should return 400 when binary sub-offset overshoots message length",
        "should return 400 when JSON sub-offset overshoots message count",
        "should return 400 for malformed sub-offset values",
        "should be idempotent when re-creating with matching sub-offset",
        "should return 409 when re-creating with mismatched sub-offset",
        "should be idempotent when re-creating a JSON fork with matching sub-offset",
        "should return 409 when re-creating a JSON fork with mismatched sub-offset",
        "should support appending to fork after sub-offset boundary",
        "should inherit content-type when sub-offset is supplied without explicit Content-Type",
        "should not inherit producer state across sub-offset fork boundary",
        "should not inherit producer state across binary sub-offset fork boundary",
        "should fork at a binary sub-offset anchored mid-stream",
        "should return 400 when sub-offset > 0 is supplied without Stream-Fork-Offset",
        "should return 400 when Stream-Fork-Sub-Offset is supplied without Stream-Forked-From (even when value is 0)",
        "should return a Stream-Next-Offset on sub-offset fork creation that is consumable by reads",
        "should return 400 when sub-offset is supplied on an empty source stream",
        "should accept binary sub-offset equal to message length",
        "should accept JSON sub-offset equal to flattened message count",
        "should append initial body after the materialized sub-offset prefix",
        "should allow sub-offset fork creation from a closed source stream"
      ],
      "Fork - Reading": [
        "should read entire fork (source + fork data)",
        "should read only inherited portion",
        "should read only fork's own data (starting past fork offset)",
        "should read across fork boundary",
        "should not show source appends after fork"
      ],
      "Fork - Appending": [
        "should append to a fork",
        "should support idempotent producer on fork",
        "should close forked stream independently",
        "should not affect fork when source is closed",
        "should append to source after fork — source independent"
      ],
      "Fork - Recursive": [
        "should create a three-level fork chain",
        "should fork at mid-point of inherited data",
        "should read correctly across three levels",
        "should append at each level independently",
        "should compose sub-offsets across chained forks"
      ],
      "Fork - Live Modes": [
        "should return inherited data immediately on long-poll",
        "should wait for fork appends, not source appends, on long-poll at tail",
        "should stream fork data via SSE",
        "should handle long-poll handover at fork offset"
      ],
      "Fork - Deletion and Lifecycle": [
        "should delete fork without affecting source",
        "should soft-delete source while fork exists — fork still reads",
        "should block re-creation of soft-deleted source (PUT returns 409)",
        "should return 410 for GET on soft-deleted source",
        "should return 410 for POST on soft-deleted source",
        "should return 410 for DELETE on soft-deleted source",
        "should return 409 for fork from soft-deleted source",
        "should return 409 for fork with content-type mismatch",
        "rejected fork (content-type mismatch) does not leak a source reference",
        "should cascade GC when last fork is deleted",
        "should cascade GC through three levels",
        "should preserve data when deleting middle of chain"
      ],
      "Fork - TTL and Expiry": [
        "should inherit source expiry when none specified",
        "should allow fork with shorter TTL",
        "should expire fork based on TTL (releases refcount)",
        "should inherit source TTL value when none specified",
        "should use fork's own TTL when specified",
        "should allow fork to outlive source via TTL renewal",
        "should allow fork Expires-At beyond source TTL expiry",
        "should allow fork TTL longer than source TTL (no capping)"
      ],
      "Fork - JSON Mode": [
        "should fork a JSON stream",
        "should read forked JSON across boundary"
      ],
      "Fork - Edge Cases": [
        "should handle fork then immediately delete source",
        "should handle many forks of same stream (10 forks)",
        "should fork at every offset position",
        "should handle idempotent fork creation (PUT twice)"
      ]
    }
  },
  {
    reason: "Nobody is called by a webhook, and no worker claims a stream: who reads asks for it.",
    tests: {
      "Reserved subscription APIs": [
        "creates and idempotently re-confirms a webhook subscription",
        "rejects unsafe webhook URLs",
        "webhook synchronous done auto-acks the wake snapshot",
        "webhook callback acks and fences stale wake generations",
        "adds and removes explicit subscription streams",
        "pull-wake claim, ack, and release use subscription-scoped leases"
      ]
    }
  }
]

/** The name of a test, behind those of its groups. */
export const nameOf = (group: string, test: string): string => `${group} > ${test}`
