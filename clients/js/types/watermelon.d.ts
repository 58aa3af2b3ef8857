import type { RetryOptions, RowError, StatusValue, SyncLoop, SyncStatus, TideClient } from 'pg-tide';

export interface TideWatermelonOptions {
  client: TideClient;
  /** A Database of @nozbe/watermelondb. */
  database: any;
  /** From '@nozbe/watermelondb/sync'. */
  synchronize: (options: any) => Promise<void>;
  /** From '@nozbe/watermelondb'. */
  Q: any;
  /** Entity types by table, or tables that are named like their entity types. */
  tables: Record<string, string> | string[];
  /** The column that keeps the stamp an edit was made upon: tide_base. */
  baseColumn?: string;
  name?: string;
  live?: boolean;
  retry?: RetryOptions;
  pollSeconds?: number;
}

export interface RefusedRecord {
  table: string;
  id: string;
  errors: RowError[];
  tries: number;
  nextTryAt: number;
  parked: boolean;
}

export class TideWatermelon {
  constructor(options: TideWatermelonOptions);
  readonly client: TideClient;
  readonly loop: SyncLoop;
  readonly status: SyncStatus;
  start(): void;
  sync(): Promise<StatusValue>;
  stop(): Promise<void>;
  refused(): Promise<RefusedRecord[]>;
  retry(table?: string, id?: string): Promise<StatusValue>;
  discard(table: string, id: string): Promise<void>;
}
