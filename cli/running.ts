/** A process of ours at work. */
export interface Running {
  /** Rejects when it has given up by itself. */
  failed: Promise<never>;
  close(): Promise<void>;
}
