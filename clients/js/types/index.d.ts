/** A row, or some of its columns, by their wire names. */
export type Row = Record<string, any>;

export type ErrorKind =
  | 'offline' | 'busy' | 'signed_out' | 'resync' | 'too_large' | 'refused' | 'aborted';

export class TideError extends Error {
  readonly kind: ErrorKind;
  /** The server's word for it, such as `scope_not_allowed`. */
  readonly code: string;
  readonly hint?: string;
  readonly status?: number;
  /** Milliseconds. */
  readonly retryAfter?: number;
  /** Of a push that ended between its parts: what was answered before, undefined for each change that was not. */
  readonly answered?: { results: (Verdict | undefined)[]; acks: string[] };
  /** Would the same call be worth another try? */
  readonly transient: boolean;
}

export interface ClientOptions {
  /** The gateway's root, without /api/v1. */
  url: string;
  token?: string | (() => string | null | Promise<string | null>);
  /** A new token, or null where a login is due. Called by one caller at a time, in all tabs. */
  refresh?: () => string | null | Promise<string | null>;
  /** Instead of token and refresh. */
  session?: TideSession;
  /** This device; made and kept by a store, a replication where it is not given. */
  clientId?: string;
  fetch?: typeof fetch;
  /** Milliseconds in which nothing comes, after which a call is given up; a long push has more. */
  timeout?: number;
}

export interface CallOptions {
  query?: Record<string, unknown>;
  body?: unknown;
  signal?: AbortSignal;
  timeout?: number;
  headers?: Record<string, string>;
}

export class TideClient {
  constructor(options: ClientOptions);
  readonly url: string;
  clientId?: string;
  call(method: string, path: string, options?: CallOptions): Promise<any>;
  open(path: string, options: { query?: Record<string, unknown>; signal?: AbortSignal; accept: string }):
    Promise<AsyncIterable<string>>;
  schema(options?: { signal?: AbortSignal }): Promise<Schema>;
}

export interface Column {
  name: string;
  type: string;
  nullable: boolean;
  writable: boolean;
}

export interface EntityType {
  key: string[];
  scope: string | null;
  shared: boolean;
  modifiedAt: string;
  clientId: string | null;
  version: string | null;
  deletedAt: string | null;
  parents: string[];
  columns: Column[];
  conflict?: string;
}

export interface Schema {
  protocol: number;
  entityTypes: Record<string, EntityType>;
}

export interface Items {
  getItem(name: string): string | null;
  setItem(name: string, value: string): void;
  removeItem(name: string): void;
}

export interface Tokens {
  token: string;
  refreshToken?: string;
  expiresAt?: string;
  userId: string;
  userType?: string;
}

/** Tokens of a gateway that checks passwords itself (--login-function). */
export class TideSession {
  constructor(options: { url: string; storage?: Items; name?: string; fetch?: typeof fetch; timeout?: number });
  readonly current: Tokens | null;
  login(username: string, password: string): Promise<Tokens>;
  token(): string | null;
  refresh(): Promise<string | null>;
  logout(): Promise<void>;
}

export type SyncState = 'synced' | 'pending' | 'syncing' | 'offline' | 'error' | 'signed_out';

export interface StatusValue {
  readonly state: SyncState;
  /** Edits that the server does not have, refused ones, too. */
  readonly pending: number;
  /** Edits that the server refused. */
  readonly failed: number;
  /** Unix milliseconds. */
  readonly lastSyncAt: number | null;
  readonly error: { code: string; message: string; hint?: string } | null;
  /** Is this tab told of changes on the server? */
  readonly live: boolean;
}

export class SyncStatus {
  readonly value: StatusValue;
  /** Calls the listener now and at each change; returns what stops it. */
  subscribe(listener: (value: StatusValue) => void): () => void;
}

export interface RetryOptions {
  /** Milliseconds of the first wait for the network: 1000. */
  base?: number;
  /** Milliseconds of the first wait of a refused change: 30000. */
  rowBase?: number;
}

export interface SyncLoopOptions {
  client: TideClient;
  name: string;
  entityTypes?: string[];
  live?: boolean;
  retry?: RetryOptions;
  pollSeconds?: number;
  sync(signal?: AbortSignal): Promise<{ nextTryAt?: number | null }>;
  cursor(): Promise<string | null>;
  counts(): Promise<{ pending: number; failed: number; lastSyncAt: number | null }>;
  lead?(): void | Promise<void>;
  /** sync() as another tab asks for it. */
  syncAll?(): Promise<StatusValue>;
  heard?(message: any): void;
}

/** When to sync; for adapters to other databases. */
export class SyncLoop {
  constructor(options: SyncLoopOptions);
  readonly status: SyncStatus;
  /** Another tab syncs for this one, or will. */
  readonly follows: boolean;
  start(): void;
  stop(): Promise<void>;
  sync(): Promise<StatusValue>;
  kick(): void;
  refresh(): Promise<void>;
  announce(message: any): void;
  /** The network may be there again, or the app is looked at: sync now. */
  wake(): void;
  signedIn(): Promise<StatusValue>;
}

export interface Transaction {
  get(type: string, key: string): Promise<any>;
  all(type?: string): Promise<any[]>;
  dirty(): Promise<any[]>;
  isEmpty(): Promise<boolean>;
  put(record: any): void;
  delete(type: string, key: string): void;
  getMeta(name: string): Promise<any>;
  setMeta(name: string, value: any): void;
  clear(): void;
}

export interface Storage {
  open(): Promise<void>;
  close(): Promise<void>;
  transaction<T>(mode: 'readonly' | 'readwrite', action: (tx: Transaction) => Promise<T> | T): Promise<T>;
}

export class IndexedDbStorage implements Storage {
  constructor(name: string, options?: { indexedDB?: IDBFactory; IDBKeyRange?: typeof IDBKeyRange });
  open(): Promise<void>;
  close(): Promise<void>;
  transaction<T>(mode: 'readonly' | 'readwrite', action: (tx: Transaction) => Promise<T> | T): Promise<T>;
}

export class MemoryStorage implements Storage {
  open(): Promise<void>;
  close(): Promise<void>;
  transaction<T>(mode: 'readonly' | 'readwrite', action: (tx: Transaction) => Promise<T> | T): Promise<T>;
}

export interface StoreOptions {
  client: TideClient;
  /** One for each server and user. */
  name?: string;
  entityTypes?: string[];
  /** Policies of entity types, where the server does not say them. */
  conflict?: Record<string, string>;
  storage?: Storage;
  live?: boolean;
  retry?: RetryOptions;
  pollSeconds?: number;
}

export interface RowError {
  code: string;
  message: string;
  constraint?: string;
  column?: string;
}

export interface PendingEdit {
  type: string;
  key: string;
  operation: 'create' | 'update' | 'delete';
  editedAt: string;
  /** failed: refused, and tried again by itself; parked: waits for its user. */
  state: 'pending' | 'failed' | 'parked';
  tries: number;
  nextTryAt: number | null;
  errors: RowError[];
  mine: Row | null;
  theirs: Row | null;
}

export interface LostEdit {
  type: string;
  key: string;
  mine: Row | null;
  theirs: Row | null;
  at: string;
}

export type Edit =
  | { type: string; columns: Row; key?: string }
  | { type: string; key: string | Row; delete: true };

/** What changed: keys by entity type, or null: anything may have. */
export type Changes = Map<string, Set<string>> | null;

export class TideStore {
  constructor(options: StoreOptions);
  readonly client: TideClient;
  readonly loop: SyncLoop;
  readonly status: SyncStatus;
  readonly schema: Record<string, EntityType> | null;
  open(): Promise<this>;
  close(): Promise<void>;
  start(): void;
  sync(): Promise<StatusValue>;
  /** An entity type as it was last seen, also where it cannot be synced for now. */
  describe(type: string): EntityType | undefined;
  all<T extends Row = Row>(type: string, options?: { deleted?: boolean }): Promise<T[]>;
  get<T extends Row = Row>(type: string, key: string | Row): Promise<T | undefined>;
  visible<T extends Row = Row>(type: string, key: string | Row): Promise<T | undefined>;
  put<T extends Row = Row>(type: string, columns: Partial<T>): Promise<T>;
  putAll(edits: Edit[]): Promise<(Row | null)[]>;
  delete(type: string, key: string | Row): Promise<void>;
  pending(): Promise<PendingEdit[]>;
  lost(): Promise<LostEdit[]>;
  clearLost(): Promise<void>;
  retry(type?: string, key?: string | Row): Promise<StatusValue>;
  discard(type: string, key: string | Row): Promise<void>;
  clearQueue(): Promise<void>;
  wipe(): Promise<void>;
  subscribe(listener: (changes: Changes) => void): () => void;
}

export function openStore(options: StoreOptions): Promise<TideStore>;

export interface PullOptions {
  since?: string | null;
  acks?: string[];
  entityTypes?: string[];
  scope?: string[];
  refresh?: string[];
  times?: 'ms';
  limit?: number;
  signal?: AbortSignal;
  /** PullCollector: the schema anew, for a type that was tracked since it was read. */
  readSchema?: () => Promise<Schema>;
  /** PullCollector: what the last set gave with its cursor. */
  awaited?: string[];
  known?: Record<string, string[]>;
  /** PullCollector: the columns that are kept of each type. */
  columns?: Record<string, string[]>;
}

export interface Page {
  changesByType: Record<string, Row[]>;
  deletedByType: Record<string, Row[]>;
  cursor: string;
  serverTime: string;
  hasMore: boolean;
  reset: boolean;
  resetReason?: string;
  resetTypes?: string[];
  revokedScopes: string[];
  unavailableTypes?: string[];
}

export function pullPages(client: TideClient, options?: PullOptions): AsyncGenerator<Page>;

export interface ChangeSet<Kept = Row> {
  /** Of each row what `keep` made of it, or the row. */
  rows: Map<string, Map<string, Kept>>;
  deleted: Map<string, Map<string, Row>>;
  /** These are all the rows there are. */
  everything: boolean;
  everythingOf: Set<string>;
  revokedScopes: Set<string>;
  unavailableTypes: string[];
  cursor: string;
  serverTime: string;
  resetReason: string | null;
  /** Types that a reset left behind, since they were not there; they are read and swept when they are. */
  awaited: string[];
  /** The columns that rows have. */
  known: Record<string, string[]>;
}

/** All pages as one set; one that broke off goes on where it was. */
export class PullCollector {
  constructor(client: TideClient, schema: Schema);
  collect<Kept = Row>(options: PullOptions & { keep?: (type: string, row: Row) => Kept }): Promise<ChangeSet<Kept>>;
}

export interface Change {
  type: string;
  row: Row;
  action: 'upsert' | 'delete';
  stamp?: string | number;
  base?: string | number | null;
  changed?: string[];
}

export type Verdict =
  | { status: 'applied' | 'merged' | 'unchanged' | 'superseded'; entity: Row; note?: string }
  | { status: 'failed'; errors: RowError[]; code: string; entity: Row | null | undefined };

export interface PushOptions {
  cursor?: string | null;
  signal?: AbortSignal;
  maxChanges?: number;
  maxBytes?: number;
  onPart?(changes: number): void;
}

export function pushChanges(client: TideClient, schema: Schema, changes: Change[], options?: PushOptions):
  Promise<{ results: Verdict[]; acks: string[] }>;

export class LiveChanges {
  constructor(client: TideClient, options?: { pollSeconds?: number });
  wait(options: { since: string; entityTypes?: string[]; signal?: AbortSignal }): Promise<boolean>;
}

export function networkDelay(failures: number, options?: { base?: number; random?: () => number }): number;
export function rowDelay(tries: number, options?: { base?: number }): number;
/** JSON.parse, but numbers that a double cannot hold are strings of their digits. */
export function parseJson(text: string): any;
export function keyText(columns: string[], row: Row): string;
export function nextStamp(upon: (string | number | null | undefined)[], now?: number): string;
export function stampTime(stamp: string | number | null | undefined): number;
export function isAfter(a: string | number, b: string | number): boolean;
