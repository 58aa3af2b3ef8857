import type { RxCollection, RxDatabase } from 'rxdb';
import type { Subject } from 'rxjs';
import type { RetryOptions, RowError, StatusValue, SyncLoop, SyncStatus, TideClient } from 'pg-tide';

export interface ReplicateTideOptions {
  client: TideClient;
  database: RxDatabase<any>;
  /** Collections by entity type. */
  collections: Record<string, RxCollection<any>>;
  name?: string;
  live?: boolean;
  retry?: RetryOptions;
  pollSeconds?: number;
}

/** An edit that the server refused, and that was taken back. */
export interface RefusedEdit {
  type: string;
  key: string;
  edit: any;
  errors: RowError[];
  at: string;
}

export class TideReplication {
  readonly client: TideClient;
  readonly loop: SyncLoop;
  readonly status: SyncStatus;
  readonly refused$: Subject<RefusedEdit>;
  start(): void;
  sync(): Promise<StatusValue>;
  stop(): Promise<void>;
  refused(): Promise<RefusedEdit[]>;
  retry(type: string, key: string): Promise<void>;
  discard(type: string, key: string): Promise<void>;
}

export function replicateTide(options: ReplicateTideOptions): Promise<TideReplication>;
