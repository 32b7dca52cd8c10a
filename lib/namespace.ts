export class Namespace {}
